"""Scenes in the format of NLVR2, whose answer is known."""
