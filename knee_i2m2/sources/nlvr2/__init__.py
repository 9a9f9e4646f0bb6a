"""NLVR2 and NLVR: sentences and pictures."""

from __future__ import annotations

from knee_i2m2.sources.nlvr2.prepare import PrepareNLVR2, prepare_nlvr2, read_examples, splits_in

__all__ = ["PrepareNLVR2", "prepare_nlvr2", "read_examples", "splits_in"]
