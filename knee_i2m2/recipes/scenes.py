"""Scenes: NLVR2-format picture pairs and sentences with a known answer.

Command::

    knee-i2m2 scenes OUT
    knee-i2m2 prepare nlvr2 OUT --side 48 --out DATA
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from knee_i2m2.recipes.progress import progress
from knee_i2m2.sources.scenes import Scenes, make_scenes

__all__ = ["scenes"]


def scenes(out: Path, /, config: Scenes) -> dict[str, Any]:
    """Writes scenes to a new folder.

    Returns:
        The folder, the examples, and the accuracy on the test that one modality alone can reach.

    Raises:
        ConfigError: The options do not fit, or the folder holds something.
        DataError: The folder cannot be written.
    """
    with progress() as bars:
        content = make_scenes(config, out, bars)
    alone = {f"ceiling of {name}": value for name, value in content["ceilings"]["test"].items()}
    return {"folder": str(out), "examples": config.train + config.val + config.test, **alone}
