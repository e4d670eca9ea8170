"""Trained models on pane vectors: what a vector is, how a model scores it, where models are kept. Training is in `services.models`."""
