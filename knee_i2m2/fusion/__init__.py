"""Combiners of opinions; they know nothing of images, files or training."""
