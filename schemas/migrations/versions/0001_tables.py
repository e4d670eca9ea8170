"""Tables, indexes, the read-only role and row security by tenant.

Ids are text and times are timestamptz, because the JDBC sinks send strings with `stringtype=unspecified`.
Every sink upserts by primary key, so a replay after a failure rewrites the same rows.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TENANT_TABLES = ("anomalies", "alerts", "notifications", "rollups_1m", "ingest_counters")

TABLES = """
CREATE TABLE sentinel.anomalies (
    anomaly_id        text PRIMARY KEY,
    tenant_id         text NOT NULL,
    application_id    text,
    model             text,
    detector_id       text,
    detector_type     text,
    metric            text,
    severity          text,
    score             double precision,
    status            text,
    title             text,
    description       text,
    entity_type       text,
    entity_id         text,
    baseline_value    double precision,
    observed_value    double precision,
    deviation         double precision,
    threshold         double precision,
    window_start      timestamptz,
    window_end        timestamptz,
    first_seen        timestamptz,
    last_seen         timestamptz,
    detected_at       timestamptz,
    count             bigint,
    config_version    bigint,
    correlation_group text,
    root_anomaly_id   text,
    related_anomalies jsonb,
    sample_events     jsonb,
    record            jsonb
);
CREATE TABLE sentinel.alerts (
    alert_id       text PRIMARY KEY,
    tenant_id      text NOT NULL,
    definition_id  text,
    status         text,
    severity       text,
    group_key      text,
    fingerprint    text,
    labels         jsonb,
    annotations    jsonb,
    starts_at      timestamptz,
    ends_at        timestamptz,
    last_seen      timestamptz,
    count          bigint,
    anomaly_ids    jsonb,
    receivers      jsonb,
    config_version bigint,
    updated_at     timestamptz
);
CREATE TABLE sentinel.notifications (
    notification_id text PRIMARY KEY,
    alert_id        text,
    tenant_id       text NOT NULL,
    receiver        text,
    receiver_type   text,
    sequence        integer,
    status          text,
    severity        text,
    title           text,
    group_key       text,
    created_at      timestamptz,
    config_version  bigint,
    record          jsonb
);
CREATE TABLE sentinel.rollups_1m (
    tenant_id       text NOT NULL,
    application_id  text NOT NULL,
    model           text NOT NULL,
    window_start    timestamptz NOT NULL,
    part            text NOT NULL CHECK (part IN ('on_time', 'late')),
    events          bigint,
    prompts         bigint,
    calls           bigint,
    errors          bigint,
    latency_count   bigint,
    latency_sum_us  bigint,
    latency_max_us  bigint,
    token_count     bigint,
    token_sum       bigint,
    token_max       bigint,
    cost_count      bigint,
    cost_sum_nano   bigint,
    cost_max_nano   bigint,
    latency_hist_0  bigint,
    latency_hist_1  bigint,
    latency_hist_2  bigint,
    latency_hist_3  bigint,
    latency_hist_4  bigint,
    latency_hist_5  bigint,
    latency_hist_6  bigint,
    latency_hist_7  bigint,
    latency_hist_8  bigint,
    latency_hist_9  bigint,
    latency_hist_10 bigint,
    latency_hist_11 bigint,
    latency_hist_12 bigint,
    latency_hist_13 bigint,
    latency_hist_14 bigint,
    latency_hist_15 bigint,
    latency_hist_16 bigint,
    latency_hist_17 bigint,
    PRIMARY KEY (tenant_id, application_id, model, window_start, part)
);
CREATE TABLE sentinel.ingest_counters (
    tenant_id text NOT NULL,
    minute    timestamptz NOT NULL,
    kind      text NOT NULL CHECK (kind IN ('valid', 'dlq', 'late', 'duplicate')),
    events    bigint,
    PRIMARY KEY (tenant_id, minute, kind)
);
CREATE TABLE sentinel.config_versions (
    version    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    author     text,
    comment    text,
    config     jsonb NOT NULL,
    sha256     text NOT NULL
);
CREATE TABLE sentinel.notification_ledger (
    notification_id  text PRIMARY KEY,
    receiver         text NOT NULL,
    state            text NOT NULL CHECK (state IN ('sending', 'delivered', 'failed', 'dead')),
    attempts         integer NOT NULL DEFAULT 0,
    first_attempt_at timestamptz,
    delivered_at     timestamptz,
    last_error       text,
    payload_sha256   text
);
"""

# BRIN where rows arrive in the order of time (small, cheap to maintain under load); btree where analysts look for one thing.
INDEXES = """
CREATE INDEX anomalies_detected_brin ON sentinel.anomalies USING brin (detected_at) WITH (pages_per_range = 32);
CREATE INDEX anomalies_tenant_app    ON sentinel.anomalies (tenant_id, application_id, detected_at DESC);
CREATE INDEX anomalies_group         ON sentinel.anomalies (correlation_group) WHERE correlation_group IS NOT NULL;
CREATE INDEX alerts_starts_brin      ON sentinel.alerts USING brin (starts_at) WITH (pages_per_range = 32);
CREATE INDEX alerts_tenant_status    ON sentinel.alerts (tenant_id, status, starts_at DESC);
CREATE INDEX notifications_created_brin ON sentinel.notifications USING brin (created_at) WITH (pages_per_range = 32);
CREATE INDEX notifications_alert     ON sentinel.notifications (alert_id, sequence);
CREATE INDEX rollups_1m_window_brin  ON sentinel.rollups_1m USING brin (window_start) WITH (pages_per_range = 32);
CREATE INDEX ingest_counters_minute_brin ON sentinel.ingest_counters USING brin (minute) WITH (pages_per_range = 32);
CREATE INDEX ledger_unfinished       ON sentinel.notification_ledger (receiver, state) WHERE state <> 'delivered';
"""

# A role belongs to the server, not to the database: another database of the same server may have made it already.
# The grant lets an owner who is no superuser step down to the role (`SET ROLE`).
ROLE = """
DO $$
BEGIN
    BEGIN
        CREATE ROLE sentinel_analyst NOLOGIN;
    EXCEPTION WHEN duplicate_object THEN NULL;
    END;
    EXECUTE format('GRANT sentinel_analyst TO %I', current_user);
END
$$;
COMMENT ON ROLE sentinel_analyst IS
    'Read-only access to the views of schema analytics. Rows are those of the tenant in the setting sentinel.tenant '
    '(SET sentinel.tenant = ''acme''; ''*'' = all tenants; unset = none). Whoever may set it may choose the tenant: '
    'hand out connections on which trusted code has set it, not free SQL, where tenants must not see each other.';
GRANT USAGE ON SCHEMA sentinel TO sentinel_analyst;
"""

POLICY = """
ALTER TABLE sentinel.{table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_rows ON sentinel.{table} FOR SELECT TO sentinel_analyst
    USING (tenant_id = current_setting('sentinel.tenant', true) OR current_setting('sentinel.tenant', true) = '*');
GRANT SELECT ON sentinel.{table} TO sentinel_analyst;
"""

# The ledger has no tenant: a row is visible with its notification, whose own policy applies inside the subquery.
LEDGER_POLICY = """
ALTER TABLE sentinel.notification_ledger ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_rows ON sentinel.notification_ledger FOR SELECT TO sentinel_analyst
    USING (EXISTS (SELECT 1 FROM sentinel.notifications n WHERE n.notification_id = notification_ledger.notification_id));
GRANT SELECT ON sentinel.notification_ledger TO sentinel_analyst;
"""


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS sentinel")
    op.execute(TABLES)
    op.execute(INDEXES)
    op.execute(ROLE)
    for table in TENANT_TABLES:
        op.execute(POLICY.format(table=table))
    op.execute(LEDGER_POLICY)


def downgrade() -> None:
    for table in (*TENANT_TABLES, "notification_ledger", "config_versions"):
        op.execute(f"DROP TABLE sentinel.{table}")
    op.execute("REVOKE USAGE ON SCHEMA sentinel FROM sentinel_analyst")
