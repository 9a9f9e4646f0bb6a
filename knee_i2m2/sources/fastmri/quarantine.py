"""What happens to volumes that cannot be used: the first stops the work, or a few are set aside and listed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.files import whole

__all__ = ["OnError", "Quarantine", "write_left_out"]

OnError = Literal["stop", "quarantine"]


@dataclass
class Quarantine:
    """The volumes that are set aside.

    Attributes:
        folder: Where the volumes are from.
        on_error: `stop` raises the first error; `quarantine` goes on while there are few.
        limit: The largest share of the volumes that may be set aside.
        volumes: How many there are in all.
        errors: Volume -> why it is set aside.
    """

    folder: Path
    on_error: OnError
    limit: float
    volumes: int
    errors: dict[str, DataError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.limit <= 1:
            raise ConfigError(f"--quarantine-limit {self.limit:g}: give a share from 0 to 1, such as 0.01")

    def add(self, name: str, error: DataError) -> None:
        """Sets a volume aside.

        Raises:
            DataError: The error itself, or that there are too many.
        """
        if self.on_error == "stop":
            raise error
        self.errors[name] = error
        if len(self.errors) > self.limit * self.volumes:
            many = f"{len(self.errors)} of {self.volumes} volumes cannot be used, more than --quarantine-limit"
            last = f"the last is {error.path.name}: {error.reason}"
            raise DataError(self.folder, f"{many} {self.limit:g} allows; {last}", "mend them, or raise the limit")

    def rows(self) -> list[tuple[str, str, str]]:
        """Returns name, `unusable` and reason of every volume that is set aside."""
        return [(name, "unusable", error.reason) for name, error in self.errors.items()]


def write_left_out(path: Path, rows: list[tuple[str, str, str]]) -> None:
    """Writes `volume,why,reason`, one volume a line, sorted."""
    with whole(path) as temporary:
        table = pd.DataFrame(sorted(rows), columns=["volume", "why", "reason"])
        table.to_csv(temporary, index=False, lineterminator="\n")
