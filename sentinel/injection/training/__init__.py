"""How the shipped classifier was made: generated and given texts, training, measurement by held-out family."""
