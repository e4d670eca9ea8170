"""What the dispatcher did with a message is a decision on record too; what still waits is found by receiver."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

OUTCOMES = {
    "outcome": (
        "sent, grouped, suppressed, throttled, acknowledged, quiet, control",
        "sent, grouped, suppressed, throttled, acknowledged, quiet, control; of the dispatcher: delivered, failed, waiting, dead",
    ),
    "detail": (
        "Why: the reason of the message, or what held it back",
        "Why: the reason of the message, what held it back, or what the receiver answered",
    ),
    "notification_id": ("Message that was sent", "Message that was sent, or that the dispatcher tried to deliver"),
}


def _describe(place: int) -> None:
    for column, texts in OUTCOMES.items():
        op.execute(f"COMMENT ON COLUMN analytics.alert_decisions.{column} IS '{texts[place]}'")


def upgrade() -> None:
    op.execute(
        """CREATE INDEX alert_decisions_waiting ON sentinel.alert_decisions (receiver, waits_until) WHERE outcome IN ('waiting', 'failed')"""
    )
    _describe(1)


def downgrade() -> None:
    op.execute("DROP INDEX sentinel.alert_decisions_waiting")
    _describe(0)
