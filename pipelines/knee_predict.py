"""Predictions of new volumes by a trained rival.

Command::

    knee-i2m2 predict RUN VOLUMES... --out DIR
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import log_softmax

from knee_i2m2 import predictions
from knee_i2m2.errors import CheckpointError, ConfigError, DataError
from knee_i2m2.experts.knee import NETWORKS
from knee_i2m2.files import write_text
from knee_i2m2.methods.method import Method
from knee_i2m2.pipelines.knee import RIVALS, Knee, knee_expert
from knee_i2m2.pipelines.knee_data import modalities_of_volume, volume_index
from knee_i2m2.pipelines.recipe import check_names, progress
from knee_i2m2.sources.fastmri import Volume, find_volumes, read_volume
from knee_i2m2.sources.prepared import read_data
from knee_i2m2.training import checkpoint
from knee_i2m2.training.fit import Answers
from knee_i2m2.training.fit import predict as answers_of
from knee_i2m2.training.folder import RunFolder, read_config
from knee_i2m2.training.rivals import assemble
from knee_i2m2.training.runner import launch
from knee_i2m2.types import Batch

__all__ = ["PredictOptions", "predict"]


@dataclass
class PredictOptions:
    """Predicts volumes with a trained rival, log p averaged over its seeds.

    Attributes:
        out: Folder for predictions.parquet and predictions.csv; it holds none yet.
        rival: Which rival answers.
        seed: Seeds whose best checkpoints are averaged; all by default.
        modalities: Modalities to use, such as magnitude; experts that need another one stay silent.
        device: auto, cpu, cuda or one card such as cuda:0.
    """

    out: Path
    rival: str = "i2m2"
    seed: list[int] | None = None
    modalities: list[str] | None = None
    device: str = "auto"


def predict(run: Path, inputs: list[Path], /, config: PredictOptions) -> dict[str, Any]:
    """Writes predictions.parquet and predictions.csv of volumes, or of folders of them.

    Args:
        run: Run folder of `train knee`.
        inputs: Volumes (.h5) or folders.
        config: The options.

    Raises:
        ConfigError: An option does not fit.
        DataError: A volume cannot be read, or its image is not of the size that the run was trained on.
        CheckpointError: There is no checkpoint, or it is damaged.
    """
    methods, device = _methods(run, config)
    volumes, data = [read_volume(path) for path in _paths(inputs)], read_data(run)
    with progress() as bar:
        tracked = bar.track(volumes, description="volumes")
        tables = [_answer(volume, methods, config.modalities, data, device) for volume in tracked]
    table = pd.concat(tables, ignore_index=True)
    table.attrs.update(tables[0].attrs)
    predictions.write(table, config.out / "predictions.parquet")
    write_text(config.out / "predictions.csv", table.to_csv(index=False))
    return {"predictions": str(config.out / "predictions.parquet"), "volumes": len(volumes), "seeds": len(methods)}


def _methods(run: Path, config: PredictOptions) -> tuple[list[Method], torch.device]:
    """Returns one trained method per seed, on the device, once the options are known to fit."""
    trained = _config(run)
    check_names([config.rival], RIVALS, "rival")
    check_names(config.modalities or [], {"magnitude": 0, "phase": 0, "position": 0}, "modalities")
    if (config.out / "predictions.parquet").exists() or (config.out.exists() and not config.out.is_dir()):
        raise ConfigError(f"{config.out} holds predictions already or is a file; choose another --out")
    device, data = launch(config.device).device, read_data(run)
    seeds = config.seed or _seeds(run, config.rival)
    methods = [_restore(run, trained, config.rival, seed, data, device) for seed in seeds]
    _refuse_silence(methods[0], config.modalities, config.rival)
    return methods, device


def _config(run: Path) -> Knee:
    config = read_config(run)
    data = read_data(run, "train again in a new folder")
    if data["task"] != "knee" or "matrix" not in data:
        raise ConfigError(f"{run} is a run of {data['task']}; predict reads knee volumes")
    strange = set(config) ^ {option.name for option in fields(Knee)}
    if strange:
        raise ConfigError(f"{run / 'config.yaml'} does not fit this version: {', '.join(sorted(strange))}; train again")
    check_names([str(config["network"])], NETWORKS, "network")
    return Knee(**{**config, "data": Path(config["data"]), "out": Path(config["out"])})


def _seeds(run: Path, rival: str) -> list[int]:
    """Returns the seeds whose training is finished."""
    names = [path.parent.name for path in (run / "experts" / rival).glob("*/best")]
    found = sorted(int(name) for name in names if name.isdecimal() and RunFolder(run).finished(rival, int(name)))
    if not found:
        raise CheckpointError(run / "experts" / rival, "holds no finished training", "train this rival first")
    return found


def _restore(run: Path, config: Knee, rival: str, seed: int, data: dict, device: torch.device) -> Method:
    """Returns a trained method, ready to answer."""
    answers, matrix = (len(data["targets"]), data["classes"]), tuple(data["matrix"])

    def expert(name: str) -> torch.nn.Module:
        return knee_expert(name, answers, matrix, config.network, config.phase)

    method = assemble(RIVALS[rival], expert, torch.ones(answers), seed)
    checkpoint.load_weights(run / "experts" / rival / str(seed) / "best", method)
    return method.to(device)


def _refuse_silence(method: Method, modalities: Sequence[str] | None, rival: str) -> None:
    if modalities is not None and not any(needs <= set(modalities) for needs in method.experts.sees.values()):
        raise ConfigError(f"no expert of {rival} can answer from {' and '.join(modalities)}; name more --modalities")


def _paths(inputs: Sequence[Path]) -> list[Path]:
    """Returns the volumes, those of folders included, each once."""
    found = [volume for path in inputs for volume in (find_volumes(path) if path.is_dir() else [path])]
    names = [path.stem for path in found]
    for path in found:
        if names.count(path.stem) > 1:
            raise DataError(path, "its name is given twice", "predict them into different folders")
    return found


def _answer(volume: Volume, methods, modalities, data: dict, device: torch.device) -> pd.DataFrame:
    """Returns the prediction table of one volume."""
    if list(volume.matrix) != data["matrix"]:
        reason = f"its image has a matrix of {volume.matrix}, the run was trained on {tuple(data['matrix'])}"
        raise DataError(volume.path, reason, "use a run that was trained on such volumes")
    index = volume_index(volume, None, "reference", "new").drop(columns=["slice", "split", *data["targets"]])
    batch = _batch(volume, index, modalities, (len(data["targets"]),))
    answers = averaged([answers_of(method, [batch], device) for method in methods])
    return predictions.table(index, tuple(data["targets"]), answers.y, answers.logp, answers.opinions, answers.bias)


def _batch(volume: Volume, index: pd.DataFrame, modalities, targets: tuple[int, ...]) -> Batch:
    """Returns a volume as one batch, stored as the training data were: in float16."""
    x = {name: values.half().float() for name, values in modalities_of_volume(volume).items()}
    x["position"] = torch.from_numpy(index["position"].to_numpy(np.float32)[:, None])
    kept = {name: values for name, values in x.items() if modalities is None or name in modalities}
    unknown = torch.full((volume.slices, *targets), -1)
    return Batch(kept, unknown, torch.arange(volume.slices))


def averaged(answers: Sequence[Answers]) -> Answers:
    """Returns the mean over seeds of logits and bias: the normalised mean of log p, since normalisers cancel."""
    mean = {name: np.mean([a.opinions[name] for a in answers], axis=0) for name in answers[0].opinions}
    bias = np.mean([a.bias for a in answers], axis=0)
    logp = log_softmax(sum(mean.values()) + bias, axis=-1)
    return Answers(logp, mean, bias, answers[0].y, answers[0].key)
