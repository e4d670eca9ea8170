"""What Sentinel made others do: actions at Shield, incidents at the Incident Manager, and how far the Governance Dashboard was told."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE sentinel.shield_actions (
    action_id     text PRIMARY KEY,
    tenant_id     text NOT NULL,
    anomaly_id    text,
    alert_id      text,
    kind          text NOT NULL,
    target_entity text NOT NULL,
    endpoint      text NOT NULL,
    reason        text,
    state         text NOT NULL CHECK (state IN ('enforced', 'refused', 'revoked')),
    message       text,
    enforced_at   timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz
);
CREATE INDEX shield_actions_alert   ON sentinel.shield_actions (tenant_id, alert_id) WHERE state = 'enforced';
CREATE INDEX shield_actions_anomaly ON sentinel.shield_actions (tenant_id, anomaly_id) WHERE state = 'enforced';
CREATE TABLE sentinel.incidents (
    incident_ref text PRIMARY KEY,
    tenant_id    text NOT NULL,
    receiver     text NOT NULL,
    incident_id  text NOT NULL,
    state        text NOT NULL CHECK (state IN ('open', 'closed')),
    severity     text,
    title        text,
    keys         text[] NOT NULL,
    firing       text[] NOT NULL,
    opened_at    timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    closed_at    timestamptz
);
CREATE INDEX incidents_open ON sentinel.incidents (tenant_id, receiver) WHERE state = 'open';
CREATE TABLE sentinel.governance_pushes (
    endpoint     text PRIMARY KEY,
    pushed_until timestamptz NOT NULL,
    pushed_at    timestamptz NOT NULL DEFAULT now()
);
"""

POLICY = """
ALTER TABLE sentinel.{table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_rows ON sentinel.{table} FOR SELECT TO sentinel_analyst
    USING (tenant_id = current_setting('sentinel.tenant', true) OR current_setting('sentinel.tenant', true) = '*');
GRANT SELECT ON sentinel.{table} TO sentinel_analyst;
"""

VIEWS = {
    "shield_actions": (
        "Actions that Shield was asked to enforce, and what became of them.",
        """SELECT action_id, tenant_id, anomaly_id, alert_id, kind, target_entity, reason,
                  CASE WHEN state = 'enforced' AND expires_at <= now() THEN 'expired' ELSE state END AS state,
                  message, enforced_at, expires_at, revoked_at
           FROM sentinel.shield_actions""",
        {
            "action_id": "Id of the action at Shield",
            "tenant_id": "Tenant",
            "anomaly_id": "Anomaly whose detector asked for it",
            "alert_id": "Alert whose definition asked for it",
            "kind": "block, rate_limit, throttle, quarantine or alert_only",
            "target_entity": "Whom or what it is about: tenant/kind:id",
            "reason": "Why, in words",
            "state": "enforced, expired, revoked or refused",
            "message": "Last answer of Shield",
            "enforced_at": "When Shield took it",
            "expires_at": "When it ends by itself",
            "revoked_at": "When it was revoked, because its alert was over",
        },
    ),
    "incidents": (
        "Incidents at the Incident Manager, one for each group of correlated anomalies.",
        """SELECT tenant_id, receiver, incident_id, state, severity, title, cardinality(firing) AS firing_groups, opened_at, updated_at, closed_at
           FROM sentinel.incidents""",
        {
            "tenant_id": "Tenant",
            "receiver": "Receiver, as in the configuration",
            "incident_id": "Id at the Incident Manager",
            "state": "open or closed",
            "severity": "Severity as sent (P1 …)",
            "title": "Title as sent",
            "firing_groups": "Groups of alerts of it that still fire",
            "opened_at": "When it was created",
            "updated_at": "When it was last changed",
            "closed_at": "When it was closed",
        },
    ),
}


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def upgrade() -> None:
    op.execute(TABLES)
    for table in ("shield_actions", "incidents"):
        op.execute(POLICY.format(table=table))
    for name, (comment, query, columns) in VIEWS.items():
        op.execute(f"CREATE VIEW analytics.{name} WITH (security_invoker = true) AS {query}")
        op.execute(f"COMMENT ON VIEW analytics.{name} IS {quoted(comment)}")
        for column, meaning in columns.items():
            op.execute(f"COMMENT ON COLUMN analytics.{name}.{column} IS {quoted(meaning)}")
        op.execute(f"GRANT SELECT ON analytics.{name} TO sentinel_analyst")


def downgrade() -> None:
    for name in VIEWS:
        op.execute(f"DROP VIEW analytics.{name}")
    for table in ("shield_actions", "incidents", "governance_pushes"):
        op.execute(f"DROP TABLE sentinel.{table}")
