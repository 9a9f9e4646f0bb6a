"""Text for a paper: reporting sheet and model card."""
