"""Predictions of new data by a trained rival, whatever its task.

Command::

    knee-i2m2 predict RUN VOLUMES... --out DIR          (a run of knee; see knee_predict)
    knee-i2m2 predict RUN PAIRS --out DIR               (of avmnist: its folder of npy files, or npz of image and audio)
    knee-i2m2 predict RUN NLVR2 --out DIR               (of nlvr2: a folder as `prepare nlvr2` reads it, labels or not)
    knee-i2m2 predict RUN DATA --out DIR --split test   (of both: a folder that `prepare` wrote)

New pairs are prepared as the run's own were, into `DIR/data`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from knee_i2m2.clusters import ClusterRecord
from knee_i2m2.data.prepared import Prepared, read_data, read_index
from knee_i2m2.data.splits import SPLITS
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.evaluation.draws import MEAN, draws
from knee_i2m2.evaluation.split_answers import answers_from_table
from knee_i2m2.evaluation.statistics.bootstrap import Bootstrapped, Estimate, cluster_weights
from knee_i2m2.experts.avmnist import avmnist_expert, avmnist_shared
from knee_i2m2.experts.experts import Experts
from knee_i2m2.experts.pairs.inputs import Vocabulary, vocabulary_of
from knee_i2m2.recipes import avmnist, nlvr2, nlvr2_data
from knee_i2m2.recipes.knee_predict import (
    UNRECORDED,
    PredictOptions,
    averaged,
    finished_seeds,
    refuse_silence,
    refuse_written,
    write_answers,
)
from knee_i2m2.recipes.knee_predict import predict as predict_volumes
from knee_i2m2.recipes.nlvr2_backbones import backbone_of
from knee_i2m2.recipes.training import TrainingOptions, check_names, experts_of, options_of, restored
from knee_i2m2.sources.nlvr2 import splits_in
from knee_i2m2.training.fit import predict as answers_to
from knee_i2m2.training.folder import read_config
from knee_i2m2.training.runner import launch
from knee_i2m2.training.session import Asked, in_order, prediction_table
from knee_i2m2.types import Batch, Rival

__all__ = ["PredictOptions", "predict"]

_OF_VOLUMES = ("acceleration", "mask", "center_fraction", "annotations", "file_list")


def predict(run: Path, inputs: list[Path], /, config: PredictOptions) -> dict[str, Any]:
    """Writes predictions.parquet and predictions.csv of new data.

    Args:
        run: Run folder of `train`.
        inputs: Volumes (.h5) or folders of them; or one folder or file of pairs.
        config: The options.

    Raises:
        ConfigError: An option does not fit.
        DataError: New data cannot be read, or are not of the size that the run was trained on.
        CheckpointError: There is no checkpoint, or it is damaged.
    """
    read_config(run)  # says so where it is no run
    task = read_data(run, "train again in a new folder")["task"]
    if task == "knee":
        return predict_volumes(run, inputs, config)
    if task not in _TASKS:
        raise ConfigError(f"{run} is a run of {task}; predict answers with runs of knee, {' and '.join(_TASKS)}")
    return _predict_pairs(run, inputs, config, _TASKS[task])


@dataclass(frozen=True)
class _Asked:
    """New samples as a run must have them: by split, with its fresh experts by (rival, seed), and what was noticed."""

    samples: Mapping[str, Asked]
    experts: Callable[[Rival, int], Experts]
    notes: Mapping[str, Any]


@dataclass(frozen=True)
class _PairsTask:
    """What differs between the tasks whose samples are pairs.

    Attributes:
        options: Of its training.
        rivals: By name.
        modalities: Names.
        prepare: (new data, folder to write, the run's `data.json`, options) -> writes the prepared folder.
        ask: (run, options of its training, new samples by split) -> these as the experts must have them.
    """

    options: type[TrainingOptions]
    rivals: Mapping[str, Rival]
    modalities: tuple[str, ...]
    prepare: Callable[[Path, Path, Mapping[str, Any], PredictOptions], object]
    ask: Callable[[Path, Any, Mapping[str, Prepared]], _Asked]


def _predict_pairs(run: Path, inputs: list[Path], config: PredictOptions, task: _PairsTask) -> dict[str, Any]:
    _check(run, inputs, config, task)
    data, trained = read_data(run), options_of(run, task.options)
    seeds = config.seed or finished_seeds(run, config.rival)
    folder = _prepared(inputs[0], data, config, task)
    asked = task.ask(run, trained, _samples(folder, config.split))
    device, rival = launch(config.device).device, task.rivals[config.rival]
    tables = []
    for samples in asked.samples.values():
        answers = []
        for seed in seeds:
            method = restored(run, config.rival, rival, seed, asked.experts(rival, seed), samples.task.answers)
            refuse_silence(method, config.modalities, config.rival)
            batches = _seen(in_order(samples, trained.batch_size), config.modalities)
            answers.append(answers_to(method.to(device), batches, device))
        tables.append(prediction_table(averaged(answers), samples, rival))
    about = {"seeds": len(seeds), "data": str(folder), **_counts(folder), **asked.notes}
    return _write(tables, ClusterRecord.read(run), config) | about


def _check(run: Path, inputs: list[Path], config: PredictOptions, task: _PairsTask) -> None:
    """Raises ConfigError for options that do not go with pairs, or with this task."""
    for name in _OF_VOLUMES:
        if getattr(config, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')} goes with a run of knee, and {run} is none; leave it out")
    if config.layout is not None and task is not _TASKS["nlvr2"]:
        raise ConfigError(f"--layout goes with a run of nlvr2, and {run} is none; leave it out")
    if len(inputs) != 1:
        raise ConfigError(f"predict reads one folder or file of pairs, not {len(inputs)}; call it once for each")
    check_names([config.rival], task.rivals, "rival")
    check_names(config.modalities or [], dict.fromkeys(task.modalities), "modalities")
    refuse_written(config.out)


def _prepared(place: Path, data: Mapping[str, Any], config: PredictOptions, task: _PairsTask) -> Path:
    """Returns a folder of new data that is prepared as the run's own.

    Raises:
        ConfigError: It was prepared in another way.
    """
    folder = place
    if not (place / "data.json").is_file():
        folder = config.out / "data"
        task.prepare(place, folder, data, config)
    new = read_data(folder)
    shapes = [{n: about["shape"] for n, about in d.get("modalities", {}).items()} for d in (new, data)]
    if new["task"] != data["task"] or shapes[0] != shapes[1]:
        made = f"{new['task']} of shape {shapes[0]}, and the run was trained on {data['task']} of shape {shapes[1]}"
        raise ConfigError(f"{folder}: holds {made}; prepare them alike")
    return folder


def _samples(folder: Path, split: str | None) -> dict[str, Prepared]:
    """Returns the new samples by split, all or one."""
    there = [name for name in SPLITS if (read_index(folder / "index.parquet")["split"] == name).any()]
    if split is not None and split not in there:
        raise DataError(folder, f"holds no sample of split {split}", f"choose from {', '.join(there)}")
    return {name: Prepared.open(folder, name) for name in there if split in (None, name)}


def _seen(batches: Iterable[Batch], modalities: list[str] | None) -> Iterator[Batch]:
    """Yields batches with the modalities that are to be used."""
    for batch in batches:
        yield batch._replace(x={name: x for name, x in batch.x.items() if modalities is None or name in modalities})


def _counts(folder: Path) -> dict[str, Any]:
    """Returns what the preparation left out or noticed."""
    names = ("left_out", "passed_over", "placeholders")
    return {name: counts for name, counts in read_data(folder).items() if name in names}


def _write(tables: list[pd.DataFrame], record: ClusterRecord | None, config: PredictOptions) -> dict[str, Any]:
    """Writes predictions; returns where, how many, and accuracy where there is a truth."""
    names = {cluster for table in tables for cluster in table["cluster"]}
    origins = {name: (record.split_of(name) or "new") if record else UNRECORDED for name in names}
    table = write_answers(tables, config, "cluster_of", "cluster", origins)
    clusters = table.groupby("cluster_of")["cluster"].nunique().to_dict()
    result = {"predictions": str(config.out / "predictions.parquet"), "samples": len(table), "clusters": clusters}
    known = table[table["truth"] >= 0]
    known.attrs.update(table.attrs)
    areas = {origin: accuracies(rows, config.rival) for origin, rows in known.groupby("cluster_of")}
    return {**result, **({"accuracy": areas} if areas else {})}


def _prepare_avmnist(place: Path, out: Path, data: Mapping[str, Any], config: PredictOptions) -> object:
    return avmnist.prepare(avmnist.PrepareAVMNIST(out, arrays=place, unlabelled=True))


def _prepare_nlvr2(place: Path, out: Path, data: Mapping[str, Any], config: PredictOptions) -> object:
    layout, side = config.layout or data["settings"]["layout"], data["settings"]["side"]
    about = {"splits": splits_in(place, layout), "unlabelled": True, "quarantine_limit": config.quarantine_limit}
    return nlvr2_data.prepare(place, nlvr2_data.PrepareNLVR2(out, layout, side, **about))


def _ask_avmnist(run: Path, trained: avmnist.AVMNIST, samples: Mapping[str, Prepared]) -> _Asked:
    pool = {"audio_pool": trained.audio_pool}
    experts = partial(experts_of, partial(avmnist_expert, **pool), partial(avmnist_shared, **pool))
    return _Asked(samples, experts, {})


def _ask_nlvr2(run: Path, trained: nlvr2.NLVR2, samples: Mapping[str, Prepared]) -> _Asked:
    trained = replace(trained, augment=False)
    backbone = backbone_of(trained, next(iter(samples.values())), _words(run, trained))
    asked, cut = nlvr2.tokenised(samples, trained, backbone), nlvr2.cut_sentences(samples, trained, backbone)
    notes = {"cut": cut["split"].value_counts().reindex(list(samples), fill_value=0).to_dict()}
    if isinstance(backbone.tokenise, Vocabulary):
        sentences = [sentence for part in samples.values() for sentence in nlvr2.sentences_of(part)]
        notes["sentences with words that the run never saw"] = int(backbone.tokenise.strange(sentences).sum())
    return _Asked(asked, partial(nlvr2.experts_of, trained, backbone), notes)


def _words(run: Path, trained: nlvr2.NLVR2) -> Vocabulary | None:
    """Returns the words that a run was trained on, where its text encoder was trained from nothing."""
    path = run / nlvr2.VOCABULARY
    if path.is_file():
        return Vocabulary(tuple(json.loads(path.read_text(encoding="utf-8"))))
    if trained.roberta or trained.vilt or trained.flava or trained.sentences:
        return None
    return vocabulary_of(nlvr2.sentences_of(Prepared.open(trained.data, "train")))  # a run of an earlier version


_TASKS = {
    "avmnist": _PairsTask(avmnist.AVMNIST, avmnist.RIVALS, avmnist.MODALITIES, _prepare_avmnist, _ask_avmnist),
    "nlvr2": _PairsTask(nlvr2.NLVR2, nlvr2.RIVALS, nlvr2.MODALITIES, _prepare_nlvr2, _ask_nlvr2),
}


def accuracies(table: pd.DataFrame, rival: str) -> dict[str, Estimate]:
    """Returns the accuracy of each target with its interval, for which clusters are resampled."""
    answers = answers_from_table(table, (rival, MEAN))
    names, codes = np.unique(answers.index["cluster"], return_inverse=True)
    weights = cluster_weights(len(names), 1000, np.random.default_rng(0))[codes]
    drawn = map(Bootstrapped, draws(answers, weights)[rival, MEAN])
    return {t: Estimate(one.value, *one.interval()) for t, one in zip(answers.targets, drawn, strict=True)}
