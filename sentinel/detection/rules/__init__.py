"""Rules on single events: thresholds over columns and RE2 patterns over texts. No state: a hit depends on one event alone."""
