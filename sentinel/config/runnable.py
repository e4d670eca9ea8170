"""Strategies that this release runs. Apart from `strategies`, so that workers can ask without loading pydantic."""

from typing import Final

TRAINED: Final = frozenset({"isolation_forest", "autoencoder", "lstm", "dbscan", "kmeans"})
"""Strategies that score with a model of `sentinel models`."""
BEHAVIOURAL: Final = frozenset({"user_profile", "entity_relationship", "access_pattern"})
"""Strategies that are fed with what each user did in a second."""
RULES: Final = frozenset({"aggregation", "composite", "cep"}) | BEHAVIOURAL
"""Strategies with nested settings, judged on facts and panes of an application."""
SERIES: Final = frozenset({"auto", "robust", "seasonal", "change_point", "flat_line", "arima", "prophet"})
"""Strategies on the series of a metric's values, one an evaluation: the same ones judge recorded files."""
RUNNABLE: Final = (
    frozenset({"zscore", "moving_average", "percentile", "threshold", "pattern", "silence", "peer", "custom", "classifier"})
    | TRAINED
    | RULES
    | SERIES
)
