"""Alerts as people work with them: what is there, why somebody was told or not, and requests to the running job."""
