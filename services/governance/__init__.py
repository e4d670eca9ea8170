"""Pushes aggregated metrics to the Governance Dashboard (specification, Governance Dashboard Integration: metrics push)."""
