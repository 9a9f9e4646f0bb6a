"""Numbers that are functions of the prediction files alone."""
