"""Heads that answer from the encodings of several modalities, beside the linear one."""
