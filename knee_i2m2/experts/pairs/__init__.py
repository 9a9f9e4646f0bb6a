"""Experts on pairs of images and a sentence: NLVR2."""
