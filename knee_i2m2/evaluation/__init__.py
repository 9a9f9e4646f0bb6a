"""Evaluation of a run, computed from its prediction files only."""
