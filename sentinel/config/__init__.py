"""Configuration: the model of ``sentinel-config.yaml``, its loader, and the light view that workers use."""
