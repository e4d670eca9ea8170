"""The views that analysts read, each with a comment on itself and on every column.

They run with the rights of whoever asks (`security_invoker`), so that the row security of the tables applies.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Buckets as in sentinel/panes.py: bucket 0 ends at 1 ms, bucket i at 1.45^i ms, the last (35) is open.
QUANTILE = """
CREATE FUNCTION analytics.latency_quantile_ms(words bigint[], quantile double precision, max_ms double precision)
RETURNS double precision LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    total bigint := 0;
    passed bigint := 0;
    n bigint;
    rank double precision;
    share double precision;
BEGIN
    FOR i IN 0..35 LOOP
        total := total + ((words[i / 2 + 1] >> (31 * (i % 2))) & 2147483647);
    END LOOP;
    IF total = 0 THEN
        RETURN NULL;
    END IF;
    rank := greatest(quantile * total, 1);
    FOR i IN 0..35 LOOP
        n := (words[i / 2 + 1] >> (31 * (i % 2))) & 2147483647;
        IF n > 0 AND passed + n >= rank THEN
            share := (rank - passed) / n;
            RETURN least(max_ms, CASE
                WHEN i = 0 THEN share
                WHEN i = 35 THEN power(1.45, 34) * power(greatest(max_ms / power(1.45, 34), 1), share)
                ELSE power(1.45, i - 1) * power(1.45, share)
            END);
        END IF;
        passed := passed + n;
    END LOOP;
    RETURN max_ms;
END
$$;
COMMENT ON FUNCTION analytics.latency_quantile_ms IS
    'Latency quantile in ms (0.95 = p95) from the 18 histogram words of a rollup, interpolated in the logarithm inside the '
    'bucket (at most 45 % wide), never above max_ms. Words of several rows may be added first. NULL without a latency.';
"""

VIEWS = {
    "anomalies": (
        "Anomalies, one row each; repeats within the dedup window are counted in count.",
        """SELECT anomaly_id, tenant_id, application_id, model, detector_id, detector_type, metric, severity, score, status, title,
                  description, entity_type, entity_id, baseline_value, observed_value, deviation, threshold, window_start, window_end,
                  first_seen, last_seen, detected_at, count, config_version, correlation_group, root_anomaly_id, related_anomalies,
                  sample_events
           FROM sentinel.anomalies""",
        {
            "anomaly_id": "Id, the same after any replay",
            "tenant_id": "Tenant",
            "application_id": "Application",
            "model": "Model, empty where the detector looks at whole applications",
            "detector_id": "Detector, as in the configuration",
            "detector_type": "statistical, rule, ml or behavioral",
            "metric": "Metric that was off",
            "severity": "info, warning or critical",
            "score": "Confidence, 0 to 1",
            "status": "active, acknowledged, resolved or suppressed",
            "title": "One line",
            "description": "One sentence with the values",
            "entity_type": "Kind of what is affected: application, model, user or endpoint",
            "entity_id": "What is affected",
            "baseline_value": "What was normal, in the unit of the metric",
            "observed_value": "What was seen, in the unit of the metric",
            "deviation": "Distance from normal, in the measure of the detector (z-score: standard deviations)",
            "threshold": "Limit that the deviation or value exceeded",
            "window_start": "Start of the window that was judged",
            "window_end": "End of the window that was judged",
            "first_seen": "Event time of the first occurrence",
            "last_seen": "Event time of the last occurrence",
            "detected_at": "When it was detected",
            "count": "Occurrences folded into this anomaly",
            "config_version": "Version of the configuration that made it",
            "correlation_group": "Group of anomalies that belong together",
            "root_anomaly_id": "Earliest anomaly of the group, the likely cause",
            "related_anomalies": "Ids of related anomalies (JSON array)",
            "sample_events": "Ids of events to look at (JSON array)",
        },
    ),
    "alerts": (
        "Alerts, one row each, with their present status.",
        """SELECT alert_id, tenant_id, definition_id, status, severity, group_key, labels, annotations, starts_at, ends_at, last_seen,
                  extract(epoch FROM coalesce(ends_at, last_seen) - starts_at)::double precision AS duration_s,
                  count, anomaly_ids, receivers, config_version, updated_at
           FROM sentinel.alerts""",
        {
            "alert_id": "Id, the same after any replay",
            "tenant_id": "Tenant",
            "definition_id": "Alert definition, as in the configuration",
            "status": "firing or resolved",
            "severity": "info, warning or critical",
            "group_key": "Notification group",
            "labels": "Labels (JSON object)",
            "annotations": "Texts for people (JSON object)",
            "starts_at": "When it began to fire",
            "ends_at": "When it was resolved; NULL while it fires",
            "last_seen": "Time of the last anomaly that kept it alive",
            "duration_s": "Seconds from the start to the end, or to the last anomaly while it fires",
            "count": "Occurrences",
            "anomaly_ids": "Anomalies behind it, at most 50 (JSON array)",
            "receivers": "Receivers that it is routed to (JSON array)",
            "config_version": "Version of the configuration that made it",
            "updated_at": "Time of the last change",
        },
    ),
    "notifications": (
        "Notifications, one row each, joined with the dispatcher's ledger: was it delivered?",
        """SELECT n.notification_id, n.alert_id, n.tenant_id, n.receiver, n.receiver_type, n.sequence, n.status, n.severity, n.title,
                  n.group_key, n.created_at, n.config_version, coalesce(l.state = 'delivered', false) AS delivered,
                  coalesce(l.state, 'waiting') AS delivery_state, coalesce(l.attempts, 0) AS attempts, l.first_attempt_at,
                  l.delivered_at, extract(epoch FROM l.delivered_at - n.created_at)::double precision AS delay_s, l.last_error
           FROM sentinel.notifications n LEFT JOIN sentinel.notification_ledger l USING (notification_id)""",
        {
            "notification_id": "Id, the same after any replay; sent as Idempotency-Key",
            "alert_id": "Alert that it tells of",
            "tenant_id": "Tenant",
            "receiver": "Receiver, as in the configuration",
            "receiver_type": "webhook, email, …",
            "sequence": "Number of the notification of this alert to this receiver",
            "status": "firing or resolved",
            "severity": "info, warning or critical",
            "title": "Subject line",
            "group_key": "Notification group",
            "created_at": "When the alerting job made it",
            "config_version": "Version of the configuration that made it",
            "delivered": "Whether the receiver accepted it",
            "delivery_state": "waiting, sending, delivered, failed (being tried again) or dead (given up, on notify-dlq)",
            "attempts": "Attempts so far",
            "first_attempt_at": "Time of the first attempt",
            "delivered_at": "When the receiver accepted it",
            "delay_s": "Seconds from creation to acceptance",
            "last_error": "Why the last failed attempt failed",
        },
    ),
    "metrics_1m": (
        "One row a minute, tenant, application and model: on-time and late events together.",
        """SELECT tenant_id, application_id, model, window_start AS minute, events, prompts, calls, errors,
                  errors::double precision / nullif(calls, 0) AS error_rate, calls / 60.0::double precision AS calls_per_second,
                  latency_sum_us / 1000.0::double precision / nullif(latency_count, 0) AS latency_avg_ms,
                  analytics.latency_quantile_ms(words, 0.5, latency_max_us / 1000.0) AS latency_p50_ms,
                  analytics.latency_quantile_ms(words, 0.95, latency_max_us / 1000.0) AS latency_p95_ms,
                  analytics.latency_quantile_ms(words, 0.99, latency_max_us / 1000.0) AS latency_p99_ms,
                  latency_max_us / 1000.0::double precision AS latency_max_ms,
                  token_sum AS tokens, token_sum::double precision / nullif(token_count, 0) AS tokens_avg, token_max AS tokens_max,
                  cost_sum_nano / 1e9::double precision AS cost_usd,
                  cost_sum_nano / 1e9::double precision / nullif(cost_count, 0) AS cost_avg_usd,
                  cost_max_nano / 1e9::double precision AS cost_max_usd, late_events
           FROM (
               SELECT tenant_id, application_id, model, window_start, sum(events)::bigint AS events, sum(prompts)::bigint AS prompts,
                      sum(calls)::bigint AS calls, sum(errors)::bigint AS errors, sum(latency_count)::bigint AS latency_count,
                      sum(latency_sum_us)::bigint AS latency_sum_us, max(latency_max_us) AS latency_max_us,
                      sum(token_count)::bigint AS token_count, sum(token_sum)::bigint AS token_sum, max(token_max) AS token_max,
                      sum(cost_count)::bigint AS cost_count, sum(cost_sum_nano)::bigint AS cost_sum_nano,
                      max(cost_max_nano) AS cost_max_nano, coalesce(sum(events) FILTER (WHERE part = 'late'), 0)::bigint AS late_events,
                      ARRAY[{words}] AS words
               FROM sentinel.rollups_1m GROUP BY tenant_id, application_id, model, window_start
           ) minutes""".replace("{words}", ", ".join(f"coalesce(sum(latency_hist_{i}), 0)::bigint" for i in range(18))),
        {
            "tenant_id": "Tenant",
            "application_id": "Application",
            "model": "Model",
            "minute": "Start of the minute (event time)",
            "events": "Events of any type",
            "prompts": "llm.request events",
            "calls": "llm.response and llm.error events",
            "errors": "Calls that failed or timed out",
            "error_rate": "errors / calls, 0 to 1; NULL without calls",
            "calls_per_second": "calls / 60",
            "latency_avg_ms": "Mean latency in ms",
            "latency_p50_ms": "Median latency in ms, from a histogram",
            "latency_p95_ms": "95th percentile of the latency in ms, from a histogram",
            "latency_p99_ms": "99th percentile of the latency in ms, from a histogram",
            "latency_max_ms": "Greatest latency in ms",
            "tokens": "Tokens, prompt and completion together",
            "tokens_avg": "Mean tokens of a call",
            "tokens_max": "Most tokens of one call",
            "cost_usd": "Cost in USD",
            "cost_avg_usd": "Mean cost of a call in USD",
            "cost_max_usd": "Greatest cost of one call in USD",
            "late_events": "Events of this minute that came after its window was closed (contained in events)",
        },
    ),
    "costs_daily": (
        "Cost and tokens of each day (UTC), tenant, application and model.",
        """SELECT tenant_id, application_id, model, (window_start AT TIME ZONE 'UTC')::date AS day, sum(calls)::bigint AS calls,
                  sum(token_sum)::bigint AS tokens, sum(cost_sum_nano)::double precision / 1e9 AS cost_usd,
                  sum(cost_sum_nano)::double precision / 1e9 / nullif(sum(cost_count), 0)::double precision AS cost_avg_usd
           FROM sentinel.rollups_1m GROUP BY 1, 2, 3, 4""",
        {
            "tenant_id": "Tenant",
            "application_id": "Application",
            "model": "Model",
            "day": "Day in UTC (event time)",
            "calls": "llm.response and llm.error events",
            "tokens": "Tokens, prompt and completion together",
            "cost_usd": "Cost in USD",
            "cost_avg_usd": "Mean cost in USD of a call with a known cost",
        },
    ),
    "ingest_totals": (
        "What became of every record that arrived: the kinds are disjoint and sum to all records.",
        """SELECT tenant_id, kind, sum(events)::bigint AS events, min(minute) AS first_minute, max(minute) AS last_minute
           FROM sentinel.ingest_counters GROUP BY tenant_id, kind""",
        {
            "tenant_id": "Tenant; empty where a broken record names none",
            "kind": "valid (on time), late, duplicate, or dlq (refused, see sentinel dlq)",
            "events": "Records",
            "first_minute": "First minute with such a record",
            "last_minute": "Last minute with such a record",
        },
    ),
    "alert_timeline": (
        "What happened to each alert, in order of time: fired, notified, delivered, given_up, resolved.",
        """SELECT tenant_id, alert_id, at, event, severity, receiver, detail FROM (
               SELECT tenant_id, alert_id, starts_at AS at, 'fired' AS event, severity, NULL AS receiver, definition_id AS detail
               FROM sentinel.alerts
               UNION ALL
               SELECT tenant_id, alert_id, ends_at, 'resolved', severity, NULL, definition_id
               FROM sentinel.alerts WHERE ends_at IS NOT NULL
               UNION ALL
               SELECT tenant_id, alert_id, created_at, 'notified', severity, receiver, title FROM sentinel.notifications
               UNION ALL
               SELECT n.tenant_id, n.alert_id, coalesce(l.delivered_at, l.first_attempt_at),
                      CASE l.state WHEN 'delivered' THEN 'delivered' ELSE 'given_up' END, n.severity, n.receiver,
                      CASE l.state WHEN 'delivered' THEN n.title ELSE l.last_error END
               FROM sentinel.notifications n JOIN sentinel.notification_ledger l USING (notification_id)
               WHERE l.state IN ('delivered', 'dead')
           ) happened""",
        {
            "tenant_id": "Tenant",
            "alert_id": "Alert",
            "at": "When (given_up: time of the first attempt)",
            "event": "fired, notified, delivered, given_up or resolved",
            "severity": "info, warning or critical",
            "receiver": "Receiver, for notified, delivered and given_up",
            "detail": "Definition, title of the notification, or the error",
        },
    ),
}


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def upgrade() -> None:
    op.execute("CREATE SCHEMA analytics")
    op.execute("COMMENT ON SCHEMA analytics IS 'Views for analysts; see the comment of role sentinel_analyst for row security by tenant'")
    op.execute(QUANTILE)
    for name, (comment, query, columns) in VIEWS.items():
        op.execute(f"CREATE VIEW analytics.{name} WITH (security_invoker = true) AS {query}")
        op.execute(f"COMMENT ON VIEW analytics.{name} IS {quoted(comment)}")
        for column, meaning in columns.items():
            op.execute(f"COMMENT ON COLUMN analytics.{name}.{column} IS {quoted(meaning)}")
    op.execute("GRANT USAGE ON SCHEMA analytics TO sentinel_analyst")
    op.execute("GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO sentinel_analyst")


def downgrade() -> None:
    op.execute("DROP SCHEMA analytics CASCADE")
