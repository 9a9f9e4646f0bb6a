"""The run folder: what was asked, what happened, and where things lie.

::

    RUN/  config.yaml  environment.json  data.json  metrics.jsonl  events.log
          experts/<rival>/<seed>/{last,best}/
          predictions/<rival>/<seed>/{val,test}.parquet
"""

from __future__ import annotations

import json
import platform
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import torch
import yaml

from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.files import write_text

__all__ = ["RunFolder", "read_config"]

_GROW = ("rivals", "seeds", "drop")
_MAY_CHANGE = (*_GROW, "data", "out", "resume", "device", "workers", "threads")


@dataclass(frozen=True)
class RunFolder:
    """A folder with a constant name, in which a training can be repeated and gone on with."""

    path: Path

    @classmethod
    def open(
        cls, path: Path, config: Mapping[str, Any], data: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
    ) -> RunFolder:
        """Makes the folder, or opens one that was made with the same configuration and data.

        Args:
            path: The folder.
            config: The options; `config.yaml` keeps the rivals and seeds of earlier trainings beside these.
            data: Content of `data.json`.
            defaults: What an option was before there was one; it then is not in an older `config.yaml`.

        Raises:
            ConfigError: It holds something else, or another configuration.
        """
        if path.exists() and not (path / "config.yaml").is_file() and (path.is_file() or _occupied(path)):
            raise ConfigError(f"{path} is not a run folder and not empty; choose another --out")
        before = read_config(path) if (path / "config.yaml").is_file() else None
        if before is not None:
            _refuse_drift(path, {**(defaults or {}), **before}, config, data)
        grown = _grown(before or {}, config)
        write_text(path / "config.yaml", yaml.safe_dump({**config, **grown}, sort_keys=False))
        write_text(path / "data.json", json.dumps(data, indent=2) + "\n")
        write_text(path / "environment.json", json.dumps(_environment(), indent=2) + "\n")
        return cls(path)

    def checkpoints(self, rival: str, seed: int) -> Path:
        """Returns the folder that holds `last` and `best`."""
        return self.path / "experts" / rival / str(seed)

    def predictions(self, rival: str, seed: int, split: str) -> Path:
        """Returns the prediction file."""
        return self.path / "predictions" / rival / str(seed) / f"{split}.parquet"

    def log(self, **record: Any) -> None:
        """Appends a line to `metrics.jsonl`."""
        path = self.path / "metrics.jsonl"
        cut_off = path.is_file() and path.read_bytes()[-1:] not in (b"", b"\n")  # say by a full disk
        with path.open("a", encoding="utf-8") as opened:
            opened.write("\n" * cut_off + json.dumps(record) + "\n")

    def tell(self, event: str) -> None:
        """Appends a dated line to `events.log`."""
        with (self.path / "events.log").open("a", encoding="utf-8") as opened:
            opened.write(f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} {event}\n")

    def finished(self, rival: str, seed: int) -> dict[str, Any] | None:
        """Returns the closing record of a training, or None.

        Raises:
            DataError: A line of `metrics.jsonl` is damaged; one that was cut off is no record.
        """
        path = self.path / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        whole = [(i, line) for i, line in enumerate(lines, 1) if '"finished"' in line and line.endswith("}")]
        found = [r for r in (_record(path, *line) for line in whole) if (r["rival"], r["seed"]) == (rival, seed)]
        return found[-1] if found and (self.checkpoints(rival, seed) / "best").is_dir() else None


def read_config(run: Path) -> dict[str, Any]:
    """Returns `config.yaml` of a run.

    Raises:
        ConfigError: There is none, or it is no mapping.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"{run} is no run folder: it has no config.yaml; run `knee-i2m2 train` first")
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no YAML; run `knee-i2m2 train` again in a new folder") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{path} holds no options; run `knee-i2m2 train` again in a new folder")
    return config


def _occupied(path: Path) -> bool:
    """Returns whether a folder holds anything but what the demo lays beside its run."""
    return any(entry.name not in ("phantom", "data") for entry in path.iterdir())


def _grown(before: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, list]:
    """Returns the rivals and seeds of all trainings in this folder, in the order in which they were first asked for."""
    earlier = {name: before[name] if isinstance(before.get(name), list) else [] for name in _GROW}
    return {name: list(dict.fromkeys([*earlier[name], *config[name]])) for name in _GROW if name in config}


def _record(path: Path, number: int, line: str) -> dict[str, Any]:
    """Returns the closing record in a line."""
    try:
        record = json.loads(line)
        return {"rival": record["rival"], "seed": record["seed"], **record}
    except (ValueError, LookupError, TypeError) as error:
        hint = "remove this line and train with --resume"
        raise DataError(path, f"line {number} is no closing record of a training", hint) from error


def _refuse_drift(path: Path, before: Mapping[str, Any], config: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    changed = [
        f"{name} {before.get(name)} -> {config.get(name)}"
        for name in sorted({*before, *config} - set(_MAY_CHANGE))
        if before.get(name) != config.get(name)
    ]
    if (path / "data.json").is_file() and _read_json(path / "data.json") != json.loads(json.dumps(data)):
        changed.append("the prepared data")
    if changed:
        raise ConfigError(f"{path} was made otherwise ({', '.join(changed)}); choose another --out")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is damaged ({error}); copy it from the prepared folder again") from error


def _environment() -> dict[str, Any]:
    """Returns what is needed to repeat the run."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in ("knee_i2m2", *_packages())},
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _packages() -> list[str]:
    """Returns the packages that are required without an extra."""
    return [re.match(r"[\w.-]+", line)[0] for line in requires("knee_i2m2") or [] if "extra ==" not in line]
