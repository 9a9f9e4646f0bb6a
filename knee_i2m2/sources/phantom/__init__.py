"""A knee phantom in the format of fastMRI, whose answer is known."""
