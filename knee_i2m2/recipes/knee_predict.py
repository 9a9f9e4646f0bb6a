"""Predictions of new volumes by a trained rival.

Command::

    knee-i2m2 predict RUN VOLUMES... --out DIR
    knee-i2m2 predict RUN VOLUMES... --out DIR --acceleration 4 --annotations knee.csv      (AUROC of a faster scan)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float16
from scipy.special import log_softmax
from torch import Tensor

from knee_i2m2 import predictions
from knee_i2m2.clusters import ClusterRecord
from knee_i2m2.data.parallel import counted
from knee_i2m2.data.prepared import read_data
from knee_i2m2.errors import CheckpointError, ConfigError, DataError
from knee_i2m2.evaluation.draws import MEAN
from knee_i2m2.evaluation.headline import areas
from knee_i2m2.evaluation.split_answers import answers_from_table
from knee_i2m2.evaluation.statistics.bootstrap import Estimate
from knee_i2m2.experts.knee import NETWORKS
from knee_i2m2.files import write_text
from knee_i2m2.identity import canonical_name
from knee_i2m2.methods.method import Method
from knee_i2m2.modalities.undersampling import MaskKind
from knee_i2m2.recipes.knee import RIVALS, Knee, fresh_experts
from knee_i2m2.recipes.progress import progress
from knee_i2m2.recipes.training import check_names, options_of
from knee_i2m2.recipes.training import restored as trained_method
from knee_i2m2.sources.fastmri.annotations import Annotations, read_annotations
from knee_i2m2.sources.fastmri.archive import (
    OnError,
    Quarantine,
    recognised,
    warning_counts,
    write_left_out,
    write_warnings,
)
from knee_i2m2.sources.fastmri.folder import unused_files
from knee_i2m2.sources.fastmri.matching import LIMIT, Matching, of_split
from knee_i2m2.sources.fastmri.modalities import MODALITIES, Transform, volume_modalities
from knee_i2m2.sources.fastmri.prepare import SETTINGS, volume_index
from knee_i2m2.sources.fastmri.stored_images import with_image_warnings
from knee_i2m2.sources.fastmri.volumes import Volume, find_volumes, read_volume
from knee_i2m2.training.fit import Answers
from knee_i2m2.training.fit import predict as answers_to
from knee_i2m2.training.folder import RunFolder, read_config
from knee_i2m2.training.runner import launch
from knee_i2m2.types import Batch, Rival

__all__ = [
    "PredictOptions",
    "as_in_training",
    "averaged",
    "finished_seeds",
    "predict",
    "refuse_silence",
    "refuse_written",
    "restored",
    "trained_as",
]

UNKNOWN, UNRECORDED = "unknown", "unrecorded"
"""Origins: volumes of unknown patients; patients of whom an older run does not say whether it has seen them."""


@dataclass
class PredictOptions:
    """Predicts new data with a trained rival, log p averaged over its seeds.

    Attributes:
        out: Folder for predictions.parquet and predictions.csv; it holds none yet.
        rival: Which rival answers.
        seed: Seeds whose best checkpoints are averaged; all by default.
        modalities: Modalities to use, such as magnitude; experts that need another one stay silent.
        split: Only the volumes of this split of the data that the run was trained on; of pairs, of the new data.
        acceleration: Keep one column of k-space in so many; by default as the run was trained, 1 keeps all.
        mask: Which columns are kept: fastMRI's random (the default), equispaced or equispaced_fraction mask.
        center_fraction: Share of the columns, in the centre, that are all kept; .32 / acceleration by default.
        annotations: fastMRI+'s knee.csv (github.com/microsoft/fastmri-plus), for the truth and for AUROC.
        file_list: Reviewed volumes; beside the CSV by default.
        unmatched_limit: The largest share of volumes, or of names in the annotations or of --split, without a match.
        device: auto, cpu, cuda or one card such as cuda:0.
        on_error: At a volume that cannot be used, stop, or quarantine it: go on without it and list it. Pairs of
            pictures that cannot be used are always listed, up to the limit.
        quarantine_limit: The largest share of the volumes, or of the examples, that may be left out.
        layout: Of new pictures and sentences: files, arrow or nlvr; by default as the run's own data were.
    """

    out: Path
    rival: str = "i2m2"
    seed: list[int] | None = None
    modalities: list[str] | None = None
    split: Literal["train", "val", "test"] | None = None
    acceleration: int | None = None
    mask: MaskKind | None = None
    center_fraction: float | None = None
    annotations: Path | None = None
    file_list: Path | None = None
    unmatched_limit: float = LIMIT
    device: str = "auto"
    on_error: OnError = "stop"
    quarantine_limit: float = 0.01
    layout: Literal["files", "arrow", "nlvr"] | None = None


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
    preparation, paths, rest, notes = _Preparation.of(read_data(run), config), _paths(inputs), [], []
    if config.split is not None:
        split_file = Path(read_config(run)["data"]) / "split.csv"
        paths, rest, notes = of_split(paths, split_file, config.split, config.unmatched_limit)
    if preparation.annotations is not None:
        matching = Matching.of(preparation.annotations, paths)
        matching.refuse(config.unmatched_limit)
        notes += matching.sentences
    folder = inputs[0] if inputs[0].is_dir() else inputs[0].parent
    quarantine = Quarantine(folder, config.on_error, config.quarantine_limit, len(paths))
    volumes, _, more = recognised(preparation.usable(paths, quarantine))
    known = [(volume, preparation.index(volume)) for volume in volumes]
    used = (config.out, config.annotations, preparation.annotations and preparation.annotations.file_list)
    passed = rest + [row for path in inputs if path.is_dir() for row in unused_files(path, used)]
    tables, warnings = [], {}
    with progress() as bars:
        for volume, index in counted("volumes", known, len(known), bars):
            try:
                tables.append(preparation.answer(volume, index, methods, device))
                warnings[volume.name] = volume.warnings
            except DataError as error:
                quarantine.add(volume.name, error)
    origins = _origins(known, ClusterRecord.read(run))
    if "new" in origins.values() and preparation.data["settings"]["unknown_patients"] == "separate":
        more.append("the run's own data have volumes of unknown patients: those of new patients may be among them")
    result = _write(tables, origins, quarantine, passed, warnings, config, len(methods))
    return result | {"notes": [*notes, *more]}


def _write(
    tables: list[pd.DataFrame],
    origins: Mapping[str, str],
    quarantine: Quarantine,
    passed: list[tuple[str, str, str]],
    warnings: Mapping[str, Mapping[str, str]],
    config: PredictOptions,
    seeds: int,
) -> dict[str, Any]:
    """Writes predictions and what was left out; returns where, how many, and AUROC where the truth was asked for."""
    if not tables:
        raise DataError(quarantine.folder, "none of the volumes can be used", "mend them, or give others")
    if left_out := [*quarantine.rows(), *passed]:
        write_left_out(config.out / "left_out.csv", left_out)
    if counts := warning_counts(warnings):
        write_warnings(config.out / "warnings.csv", warnings)
    table = write_answers(tables, config, "patient_of", "series", origins)
    counted = {"volumes": len(tables), "seeds": seeds, "quarantined": len(quarantine.errors)}
    counted |= {"passed_over": dict(Counter(why for _, why, _ in passed)), "warnings": counts}
    counted["patients"] = table.groupby("patient_of")["cluster"].nunique().to_dict()
    result = {"predictions": str(config.out / "predictions.parquet"), **counted}
    if config.annotations is None:
        return result
    reviewed = int(table.loc[table["truth"] >= 0, "series"].nunique())
    areas = {origin: aurocs(rows, config.rival) for origin, rows in table.groupby("patient_of")}
    if UNKNOWN in areas:  # two of its volumes may be of one patient, which an interval has to know
        areas[UNKNOWN] = {target: Estimate(one.value, nan, nan) for target, one in areas[UNKNOWN].items()}
    return {**result, "reviewed": reviewed, "auroc": areas}


def write_answers(
    tables: Sequence[pd.DataFrame], config: PredictOptions, title: str, item: str, origins: Mapping[str, str]
) -> pd.DataFrame:
    """Returns all answers in one table, which is written as Parquet and as CSV.

    Args:
        tables: Prediction tables of one rival.
        config: Names the rival and the folder.
        title: Of the column that says where a sample comes from.
        item: The column by whose values `origins` tells so.
        origins: Item -> split of the run, `new`, `unknown` or `unrecorded`.
    """
    table = pd.concat(tables, ignore_index=True)
    table.insert(3, title, table[item].map(origins))
    table.attrs.update(tables[0].attrs, rival=config.rival)
    predictions.write(table, config.out / "predictions.parquet")
    write_text(config.out / "predictions.csv", table.to_csv(index=False))
    return table


def _origins(known: Sequence[tuple[Volume, pd.DataFrame]], record: ClusterRecord | None) -> dict[str, str]:
    """Returns volume -> the split of the run that holds its patient; else `new`, `unknown` or `unrecorded`."""
    split_of = {volume: record and record.split_of(index["cluster"].iloc[0]) for volume, index in known}
    other = {True: UNKNOWN, False: "new" if record else UNRECORDED}
    return {volume.name: split or other[volume.patient is None] for volume, split in split_of.items()}


def aurocs(table: pd.DataFrame, rival: str) -> dict[str, Estimate]:
    """Returns slice-level AUROC of each target with its interval; without one for too few patients, as `evaluate`."""
    answers = answers_from_table(table, (rival, MEAN))
    *found, _ = areas(answers, np.unique(answers.index["cluster"], return_inverse=True)[1])[rival, MEAN]
    return {target: Estimate(one.value, *one.interval()) for target, one in zip(answers.targets, found, strict=True)}


def _methods(run: Path, config: PredictOptions) -> tuple[list[Method], torch.device]:
    """Returns one trained method per seed, on the device, once the options are known to fit."""
    trained = trained_as(run)
    check_names([config.rival], RIVALS, "rival")
    check_names(config.modalities or [], {"magnitude": 0, "phase": 0, "position": 0}, "modalities")
    if config.layout is not None:
        raise ConfigError(f"--layout goes with a run of nlvr2, and {run} is one of knee; leave it out")
    refuse_written(config.out)
    device, data = launch(config.device).device, read_data(run)
    seeds = config.seed or finished_seeds(run, config.rival)
    methods = [restored(run, trained, config.rival, seed, data, device) for seed in seeds]
    refuse_silence(methods[0], config.modalities, config.rival)
    return methods, device


def refuse_written(out: Path) -> None:
    """Raises ConfigError where a folder holds predictions, or is none."""
    names = ("predictions.parquet", "predictions.csv", "left_out.csv", "warnings.csv")
    written = [out / name for name in names]
    if any(path.exists() for path in written) or (out.exists() and not out.is_dir()):
        raise ConfigError(f"{out} holds predictions already or is a file; choose another --out")


def trained_as(run: Path) -> Knee:
    """Returns the options of a knee run.

    Raises:
        ConfigError: It is a run of another task or version.
    """
    read_config(run)  # says so where it is no run
    data = read_data(run, "train again in a new folder")
    if data["task"] == "knee" and not set(SETTINGS) <= set(data.get("settings", ())):
        raise ConfigError(f"{run} was trained on data of an earlier version; prepare them and train again")
    if data["task"] != "knee" or "matrix" not in data:
        raise ConfigError(f"{run} is a run of {data['task']}; predict reads knee volumes")
    config = options_of(run, Knee)
    check_names([config.network], NETWORKS, "network")
    return config


def finished_seeds(run: Path, rival: str) -> list[int]:
    """Returns the seeds whose training is finished."""
    names = [path.parent.name for path in (run / "experts" / rival).glob("*/best")]
    seeds = sorted(int(name) for name in names if name.isdecimal() and RunFolder(run).finished(rival, int(name)))
    if not seeds:
        raise CheckpointError(run / "experts" / rival, "holds no finished training", "train this rival first")
    return seeds


def restored(run: Path, config: Knee, rival: str, seed: int, data: dict, device: torch.device) -> Method:
    """Returns a trained method, ready to answer."""
    answers, matrix = (len(data["targets"]), data["classes"]), tuple(data["matrix"])
    experts = fresh_experts(config, answers, matrix)(RIVALS[rival], seed)
    return trained_method(run, rival, RIVALS[rival], seed, experts, answers).to(device)


def refuse_silence(method: Method, modalities: Sequence[str] | None, rival: str) -> None:
    """Raises ConfigError where no expert of a rival can answer from the modalities."""
    if modalities is not None and not any(needs <= set(modalities) for needs in method.experts.sees.values()):
        raise ConfigError(f"no expert of {rival} can answer from {' and '.join(modalities)}; name more --modalities")


def _paths(inputs: Sequence[Path]) -> list[Path]:
    """Returns the volumes, those of folders included, each once."""
    paths = [volume for path in inputs for volume in (find_volumes(path) if path.is_dir() else [path])]
    names = [canonical_name(path.name) for path in paths]
    for path in paths:
        if names.count(canonical_name(path.name)) > 1:
            raise DataError(path, "its name is given twice", "predict them into different folders")
    return paths


@dataclass(frozen=True)
class _Preparation:
    """How volumes are turned into what a run was trained on, and what is known about them.

    Attributes:
        data: The run's `data.json`.
        transform: From k-space to image.
        annotations: The truth, where it was given.
        modalities: Those to use; None uses all.
        acceleration: One column of k-space in so many is kept, of volumes that have all.
        rival: Who answers.
    """

    data: Mapping[str, Any]
    transform: Transform
    annotations: Annotations | None
    modalities: list[str] | None
    acceleration: int
    rival: Rival

    @classmethod
    def of(cls, data: Mapping[str, Any], config: PredictOptions) -> _Preparation:
        """Returns the run's own way, but for an undersampling that was asked for."""
        settings = dict(data["settings"])
        if config.acceleration is not None:
            settings |= {name: getattr(config, name) for name in ("acceleration", "mask", "center_fraction")}
        elif config.mask or config.center_fraction is not None:
            raise ConfigError("--mask and --center-fraction go with --acceleration; give that too, such as 4")
        if config.file_list is not None and config.annotations is None:
            raise ConfigError("--file-list goes with --annotations; give those too")
        known = None if config.annotations is None else read_annotations(config.annotations, config.file_list)
        transform, rival = Transform.of(settings), RIVALS[config.rival]
        return cls(data, transform, known, config.modalities, settings["acceleration"], rival)

    def usable(self, paths: Sequence[Path], quarantine: Quarantine) -> list[Volume]:
        """Returns the volumes that fit the run, by header and one slice, before anything is computed."""
        volumes = []
        for path in paths:
            try:
                volumes.append(self._usable(read_volume(path)))
            except DataError as error:
                quarantine.add(path.stem, error)
        return volumes

    def _usable(self, volume: Volume) -> Volume:
        if list(volume.matrix) != self.data["matrix"]:
            sizes = f"{volume.matrix}, the run was trained on {tuple(self.data['matrix'])}"
            reason, hint = f"its image has a matrix of {sizes}", "use a run that was trained on such volumes"
            raise DataError(volume.path, reason, hint)
        self.transform.refuse(volume)
        return with_image_warnings(volume)

    def index(self, volume: Volume) -> pd.DataFrame:
        """Returns one row a slice, with its labels where somebody reviewed the volume."""
        return volume_index(volume, self.annotations, self.data["settings"]["abnormal"])

    def answer(
        self, volume: Volume, index: pd.DataFrame, methods: Sequence[Method], device: torch.device
    ) -> pd.DataFrame:
        """Returns the prediction table of one volume."""
        targets = self.data["targets"]
        batch = self._batch(volume, index, device)
        answers = averaged([answers_to(method, [batch], device) for method in methods])
        index = index.drop(columns=["slice", *targets]).assign(acceleration=max(self.acceleration, volume.acceleration))
        values = (answers.y, answers.logp, answers.opinions, answers.bias)
        return predictions.table(index, tuple(targets), *values, self.rival)

    def _batch(self, volume: Volume, index: pd.DataFrame, device: torch.device) -> Batch:
        """Returns a volume as one batch, rounded as the training data were: to float16."""
        values = as_in_training(*volume_modalities(volume, self.transform, device), self.data["settings"])
        x = {name: v for name, v in values.items() if self.modalities is None or name in self.modalities}
        truth = torch.from_numpy(index[self.data["targets"]].to_numpy(np.int64))
        return Batch(x, truth, torch.arange(volume.slices))


def as_in_training(
    channels: Float16[Tensor, "slices 2 rows columns"], unit: float, settings: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Returns all modalities of a volume, rounded to float16 and scaled as the training data were.

    Args:
        channels: Magnitude in its unit, and phase in rad.
        unit: Of the magnitude.
        settings: How the training data were prepared.
    """
    values = dict(zip(MODALITIES, channels.float().split(1, dim=1), strict=True))
    if settings["normalise"] == "none":
        values["magnitude"] = values["magnitude"] * unit
    position = np.arange(len(channels)) / max(len(channels) - 1, 1)
    return {**values, "position": torch.from_numpy(position.astype(np.float32)[:, None])}


def averaged(answers: Sequence[Answers]) -> Answers:
    """Returns the mean over seeds of logits and bias: the normalised mean of log p, since normalisers cancel."""
    mean = {name: np.mean([a.opinions[name] for a in answers], axis=0) for name in answers[0].opinions}
    bias = np.mean([a.bias for a in answers], axis=0)
    logp = log_softmax(np.mean([a.logp for a in answers], axis=0), axis=-1)
    return Answers(logp, mean, bias, answers[0].y, answers[0].key)
