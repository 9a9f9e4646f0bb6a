"""Methods: what is minimised, and what is answered."""
