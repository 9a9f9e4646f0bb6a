"""Pure tensor functions from k-space to modalities."""
