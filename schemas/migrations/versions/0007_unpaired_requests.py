"""Requests that got no answer, where a tenant's requests and answers are paired."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE sentinel.unpaired_requests (
    tenant_id      text NOT NULL,
    application_id text NOT NULL,
    minute         timestamptz NOT NULL,
    outcome        text NOT NULL CHECK (outcome IN ('unanswered', 'not_kept')),
    requests       bigint,
    PRIMARY KEY (tenant_id, application_id, minute, outcome)
);
CREATE INDEX unpaired_requests_minute_brin ON sentinel.unpaired_requests USING brin (minute) WITH (pages_per_range = 32);
ALTER TABLE sentinel.unpaired_requests ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_rows ON sentinel.unpaired_requests FOR SELECT TO sentinel_analyst
    USING (tenant_id = current_setting('sentinel.tenant', true) OR current_setting('sentinel.tenant', true) = '*');
GRANT SELECT ON sentinel.unpaired_requests TO sentinel_analyst;
CREATE VIEW analytics.unpaired_requests WITH (security_invoker = true) AS
    SELECT tenant_id, application_id, minute, outcome, requests FROM sentinel.unpaired_requests;
COMMENT ON VIEW analytics.unpaired_requests IS 'Requests that got no answer with their correlation id in time; they count as valid in ingest_totals, too.';
GRANT SELECT ON analytics.unpaired_requests TO sentinel_analyst;
"""
COLUMNS = {
    "tenant_id": "Tenant",
    "application_id": "Application",
    "minute": "Minute of the request",
    "outcome": "unanswered (none within ingestion.pairing.timeout), or not_kept (too many were open at once; it may have been answered)",
    "requests": "Requests",
}


def upgrade() -> None:
    op.execute(TABLE)
    for column, meaning in COLUMNS.items():
        op.execute(f"COMMENT ON COLUMN analytics.unpaired_requests.{column} IS '{meaning}'")


def downgrade() -> None:
    op.execute("DROP VIEW analytics.unpaired_requests")
    op.execute("DROP TABLE sentinel.unpaired_requests")
