"""The notification dispatcher: reads `notify-*` topics and tells the receivers, once each, with a ledger in Postgres."""
