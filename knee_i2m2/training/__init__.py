"""Training: the loop, its checkpoints, its devices."""
