"""Why somebody was told of an alert or not, and what people asked for."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE sentinel.alert_decisions (
    decision_id     text PRIMARY KEY,
    alert_id        text NOT NULL,
    tenant_id       text NOT NULL,
    receiver        text,
    decided_at      timestamptz,
    outcome         text,
    detail          text,
    firing          bigint,
    resolved        bigint,
    waits_until     timestamptz,
    notification_id text
);
CREATE INDEX alert_decisions_alert ON sentinel.alert_decisions (alert_id, decided_at);
CREATE INDEX alert_decisions_decided_brin ON sentinel.alert_decisions USING brin (decided_at) WITH (pages_per_range = 32);
CREATE TABLE sentinel.alert_controls (
    control_id   text PRIMARY KEY,
    tenant_id    text NOT NULL,
    action       text,
    alert_id     text,
    silence_id   text,
    matchers     jsonb,
    until        timestamptz,
    requested_by text,
    comment      text,
    requested_at timestamptz,
    answered_at  timestamptz,
    done         boolean,
    detail       text
);
CREATE INDEX alert_controls_requested_brin ON sentinel.alert_controls USING brin (requested_at) WITH (pages_per_range = 32);
"""
POLICY = """
ALTER TABLE sentinel.{table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_rows ON sentinel.{table} FOR SELECT TO sentinel_analyst
    USING (tenant_id = current_setting('sentinel.tenant', true) OR current_setting('sentinel.tenant', true) = '*');
GRANT SELECT ON sentinel.{table} TO sentinel_analyst;
CREATE VIEW analytics.{table} WITH (security_invoker = true) AS SELECT {columns} FROM sentinel.{table};
COMMENT ON VIEW analytics.{table} IS '{meaning}';
GRANT SELECT ON analytics.{table} TO sentinel_analyst;
"""
VIEWS = {
    "alert_decisions": (
        "What was decided about an alert and a receiver, and why; a decision that only goes on is not repeated",
        {
            "decision_id": "Id, the same after any replay",
            "alert_id": "Alert",
            "tenant_id": "Tenant",
            "receiver": "Receiver; empty for what people did",
            "decided_at": "When",
            "outcome": "sent, grouped, suppressed, throttled, acknowledged, quiet, control",
            "detail": "Why: the reason of the message, or what held it back",
            "firing": "Label sets that fire and that it is about",
            "resolved": "Label sets that are over and that it is about",
            "waits_until": "When it is decided anew at the earliest",
            "notification_id": "Message that was sent",
        },
    ),
    "alert_controls": (
        "What people asked for: acknowledge, unacknowledge, snooze, escalate, resolve, silence, expire",
        {
            "control_id": "Id of the request",
            "tenant_id": "Tenant",
            "action": "ack, unack, snooze, escalate, resolve, silence, expire",
            "alert_id": "Alert, if it is about one",
            "silence_id": "Silence, if it is about one",
            "matchers": "Matchers of a silence",
            "until": "End of a silence or snooze",
            "requested_by": "Who",
            "comment": "Why",
            "requested_at": "When it was asked for",
            "answered_at": "When it was in force, or refused",
            "done": "Whether it was done",
            "detail": "What came of it",
        },
    ),
}


def upgrade() -> None:
    op.execute(TABLES)
    for table, (meaning, columns) in VIEWS.items():
        op.execute(POLICY.format(table=table, columns=", ".join(columns), meaning=meaning))
        for column, text in columns.items():
            op.execute(f"COMMENT ON COLUMN analytics.{table}.{column} IS '{text}'")


def downgrade() -> None:
    for table in reversed(VIEWS):
        op.execute(f"DROP VIEW analytics.{table}")
        op.execute(f"DROP TABLE sentinel.{table}")
