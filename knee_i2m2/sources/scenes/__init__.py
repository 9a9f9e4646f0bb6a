"""Scenes: drawn picture pairs and sentences in the format of NLVR2, with a known answer."""

from __future__ import annotations

from knee_i2m2.sources.scenes.scenes import Scenes, draw_scenes, make_scenes

__all__ = ["Scenes", "draw_scenes", "make_scenes"]
