"""A trained knee rival that answers for k-space in memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from knee_i2m2.data.prepared import read_data
from knee_i2m2.methods.method import Method
from knee_i2m2.recipes.knee import RIVALS
from knee_i2m2.recipes.knee_predict import as_in_training, averaged, finished_seeds, restored, trained_as
from knee_i2m2.recipes.training import check_names
from knee_i2m2.sources.fastmri.modalities import Transform, kspace_modalities
from knee_i2m2.sources.fastmri.sampling import alike
from knee_i2m2.sources.fastmri.volumes import Volume, volume_in_memory
from knee_i2m2.training.fit import Answers
from knee_i2m2.training.fit import predict as answers_to
from knee_i2m2.training.runner import launch
from knee_i2m2.types import Batch

__all__ = ["Trained", "load"]


@dataclass(frozen=True)
class Trained:
    """A rival of a run, averaged over its seeds.

    Attributes:
        methods: One trained method per seed.
        data: The run's `data.json`: how its k-space was prepared.
        device: Where the methods are.
    """

    methods: Sequence[Method]
    data: Mapping[str, Any]
    device: torch.device

    @property
    def targets(self) -> tuple[str, ...]:
        """The questions, in the order of the logits."""
        return tuple(self.data["targets"])

    def logits(self, kspace: np.ndarray) -> Float[np.ndarray, "slices targets classes"]:
        """Returns log p of every slice and target, as `predict` writes it.

        Args:
            kspace: Complex, of shape (slices, rows, columns), in any unit; its image is cropped to the run's size.

        Raises:
            DataError: It is no k-space, or its image is smaller than those that the run was trained on.
        """
        return self.answers(kspace).logp

    def experts(self, kspace: np.ndarray) -> dict[str, Float[np.ndarray, "slices targets classes"]]:
        """Returns each expert's raw logits; see `logits`."""
        return self.answers(kspace).opinions

    def answers(self, kspace: np.ndarray) -> Answers:
        """Returns everything that the rival says of a volume; its truth is unknown.

        K-space that is undersampled is not undersampled again; a warning says so unless the run was trained on it.
        """
        volume = volume_in_memory(kspace, tuple(self.data["matrix"]))
        settings = self._settings(volume)
        x = as_in_training(*kspace_modalities(kspace, volume, Transform.of(settings)), settings)
        unknown = torch.full((len(kspace), len(self.targets)), -1)
        batch = Batch(x, unknown, torch.arange(len(kspace)))
        return averaged([answers_to(method, [batch], self.device) for method in self.methods])

    def _settings(self, volume: Volume) -> Mapping[str, Any]:
        """Returns how the training data were prepared, but for an undersampling that a volume has already."""
        settings, trained = self.data["settings"], self.data["settings"]["acceleration"]
        if not volume.undersampled:
            return settings
        if trained == 1 or not alike(trained, volume.acceleration):
            usual = f"{trained}-fold undersampled k-space" if trained > 1 else "fully sampled k-space"
            warnings.warn(f"{volume.warnings['undersampled']}; the run was trained on {usual}", stacklevel=4)
        return {**settings, "acceleration": 1, "mask": None, "center_fraction": None}


def load(run: str | Path, rival: str = "i2m2", seed: int | None = None, device: str = "auto") -> Trained:
    """Returns a trained rival of a knee run.

    Args:
        run: Run folder.
        rival: Its name.
        seed: Whose weights answer; by default log p is averaged over all seeds.
        device: auto, cpu, cuda or one card such as cuda:0.

    Raises:
        ConfigError: It is no knee run, or there is no such rival.
        CheckpointError: There is no checkpoint, or it is damaged.
    """
    run = Path(run)
    config, data = trained_as(run), read_data(run)
    check_names([rival], RIVALS, "rival")
    place = launch(device).device
    seeds = finished_seeds(run, rival) if seed is None else [seed]
    return Trained([restored(run, config, rival, number, data, place) for number in seeds], data, place)
