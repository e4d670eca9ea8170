"""Personal data and secrets in free text: finding them, and masking, hashing or dropping them by a tenant's policy."""
