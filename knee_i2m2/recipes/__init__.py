"""Whole recipes: the one place where a task's stages are joined."""
