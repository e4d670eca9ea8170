"""Training of models on stored panes, their life in object storage, and what a shadow would have raised."""
