"""The demonstration behind `make demo`: a running stack, traffic with trouble in it, and who found and was told what."""
