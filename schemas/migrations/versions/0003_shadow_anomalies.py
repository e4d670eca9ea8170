"""What models in shadow mode found: recorded beside the anomalies, never among them."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE sentinel.shadow_anomalies (
    anomaly_id     text PRIMARY KEY,
    tenant_id      text NOT NULL,
    application_id text,
    model          text,
    detector_id    text,
    metric         text,
    severity       text,
    score          double precision,
    description    text,
    detected_at    timestamptz,
    model_version  text,
    record         jsonb
);
CREATE INDEX shadow_anomalies_detected_brin ON sentinel.shadow_anomalies USING brin (detected_at) WITH (pages_per_range = 32);
ALTER TABLE sentinel.shadow_anomalies ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_rows ON sentinel.shadow_anomalies FOR SELECT TO sentinel_analyst
    USING (tenant_id = current_setting('sentinel.tenant', true) OR current_setting('sentinel.tenant', true) = '*');
GRANT SELECT ON sentinel.shadow_anomalies TO sentinel_analyst;
CREATE VIEW analytics.shadow_anomalies WITH (security_invoker = true) AS
    SELECT anomaly_id, tenant_id, application_id, model, detector_id, metric, severity, score, description, detected_at, model_version
    FROM sentinel.shadow_anomalies;
COMMENT ON VIEW analytics.shadow_anomalies IS 'What models in shadow mode would have raised; nobody was alerted.';
GRANT SELECT ON analytics.shadow_anomalies TO sentinel_analyst;
"""
COLUMNS = {
    "anomaly_id": "Id, the same after any replay",
    "tenant_id": "Tenant",
    "application_id": "Application",
    "model": "Model of the application, empty where whole applications are judged",
    "detector_id": "Detector that the shadow stands in for",
    "metric": "Metric that was furthest off",
    "severity": "Severity that it would have had",
    "score": "Confidence, 0 to 1",
    "description": "One sentence with the values",
    "detected_at": "When it was detected, last",
    "model_version": "Trained model and version, name/number",
}


def upgrade() -> None:
    op.execute(TABLE)
    for column, meaning in COLUMNS.items():
        op.execute(f"COMMENT ON COLUMN analytics.shadow_anomalies.{column} IS '{meaning}'")


def downgrade() -> None:
    op.execute("DROP VIEW analytics.shadow_anomalies")
    op.execute("DROP TABLE sentinel.shadow_anomalies")
