"""Experts: predictors, and the modalities that each one sees."""
