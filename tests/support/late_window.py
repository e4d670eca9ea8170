"""A job with a window that everything behind the newest record is too late for: `late_window.py TOPIC [changed]`; changed, it has no window."""

from __future__ import annotations

import sys

from jobs.stages.environment import create_environment
from sentinel.settings import JobSettings

JOB = "late_window"


def main() -> None:
    environment, t_env = create_environment(JOB)
    t_env.execute_sql(f"""
        CREATE TEMPORARY TABLE texts (
          `text` STRING, `at` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, WATERMARK FOR `at` AS `at`
        ) WITH ('connector' = 'kafka', 'topic' = '{sys.argv[1]}', {JobSettings().kafka.flink_options()}, 'format' = 'raw',
          'scan.startup.mode' = 'earliest-offset')
    """)
    t_env.execute_sql("CREATE TEMPORARY TABLE nowhere (`text` STRING, n BIGINT) WITH ('connector' = 'blackhole')")
    statements = t_env.create_statement_set()
    windows = "TABLE(TUMBLE(TABLE texts, DESCRIPTOR(`at`), INTERVAL '1' SECOND)) GROUP BY `text`, window_start, window_end"
    statements.add_insert_sql(f"INSERT INTO nowhere SELECT `text`, COUNT(*) FROM {'texts GROUP BY `text`' if sys.argv[2:] else windows}")
    statements.attach_as_datastream()
    environment.execute(JOB)


if __name__ == "__main__":
    main()
