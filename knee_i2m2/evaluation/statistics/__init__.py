"""Statistics: arrays in, numbers out; each is usable on its own."""
