"""A knee phantom in the format of fastMRI, whose answer is known."""

from __future__ import annotations

from knee_i2m2.sources.phantom.lesions import Strengths
from knee_i2m2.sources.phantom.like import make_likeness
from knee_i2m2.sources.phantom.phantom import Phantom, make_phantom

__all__ = ["Phantom", "Strengths", "make_likeness", "make_phantom"]
