"""What others tell us by HTTP: PagerDuty's v3 webhooks become requests to the alerting job."""
