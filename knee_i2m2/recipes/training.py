"""What the training recipes share: options, their checks, and the session in the run folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from knee_i2m2.errors import ConfigError, check_seed, suggestion
from knee_i2m2.evaluation.statistics.accuracy import accuracy
from knee_i2m2.experts.experts import Experts
from knee_i2m2.methods import METHODS
from knee_i2m2.methods.method import Method
from knee_i2m2.recipes.progress import progress
from knee_i2m2.training import checkpoint
from knee_i2m2.training.batches import Shuffled, refuse_lone
from knee_i2m2.training.folder import RunFolder, read_config
from knee_i2m2.training.rivals import learning, order, separate, trained_together
from knee_i2m2.training.runner import launch, seed_all, synchronised
from knee_i2m2.training.session import Asked, Session, open_run
from knee_i2m2.types import Rival

__all__ = [
    "TrainingOptions",
    "check_names",
    "check_rates",
    "checked",
    "experts_of",
    "launched",
    "options_of",
    "restored",
    "train_rivals",
    "validation_accuracy",
]


@dataclass
class TrainingOptions:
    """Options of every training.

    Attributes:
        data: Folder that `prepare` wrote.
        out: Run folder; run again, it goes on with what is missing.
        rivals: Rows of the table.
        method: Methods to train as rivals of their names as well, such as gblend i2moe mincq (README lists them).
        drop: Modalities without each of which every rival that can also answers, as a further row.
        seeds: Each trains all rivals anew.
        epochs: At most, for what starts from fresh experts.
        patience: Epochs without a better validation score.
        batch_size: Samples a batch (and process).
        lr: Learning rate at its peak.
        weight_decay: The optimiser's.
        device: auto, cpu, cuda or one card such as cuda:0.
        precision: 32 or bf16.
        workers: Processes that read data; 0 reads in the training process.
        threads: CPU threads of torch; its own choice by default.
        resume: Go on with a training that was interrupted, from its last epoch.
    """

    data: Path
    out: Path
    rivals: list[str] = field(default_factory=list)
    method: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0])
    epochs: int = 10
    patience: int = 8
    batch_size: int = 32
    lr: float = 3e-4
    weight_decay: float = 0.01
    device: str = "auto"
    precision: str = "32"
    workers: int = 0
    threads: int | None = None
    resume: bool = False


_LOG = logging.getLogger(__name__)

Options = TypeVar("Options", bound=TrainingOptions)


def launched(config: TrainingOptions) -> Fabric:
    """Returns Fabric on the device of the options."""
    return launch(config.device, config.precision, config.threads)


def train_rivals(
    config: TrainingOptions,
    fabric: Fabric,
    samples: Mapping[str, Asked],
    rivals: Mapping[str, Rival],
    *,
    write_first: Callable[[RunFolder], None] = lambda run: None,
    early_warnings: Iterable[str] = (),
    write_others: Callable[[RunFolder], None] = lambda run: None,
    **about: Any,
) -> dict[str, Any]:
    """Trains every (rival, seed) that is not finished in the run folder, and says where.

    Args:
        config: Names rivals, seeds and the folder.
        fabric: Launched.
        samples: Split -> samples.
        rivals: All rivals of the task by name.
        write_first: Writes what is known before the training; called on one process.
        early_warnings: Sentences that one process logs before anything is trained.
        write_others: Writes predictions of rivals that are not trained; called on one process.
        about: The session's other fields.

    Raises:
        ConfigError: The folder was made otherwise, or a batch of one sample would be normalised by itself.
    """
    check_names(config.drop, samples["train"][[0]].x, "drop")
    _refuse_lone(config, fabric, len(samples["train"]), rivals, about["experts"])
    with fabric.rank_zero_first():
        run = open_run(config)
    if fabric.is_global_zero:
        write_first(run)
    if fabric.is_global_zero:
        for line in early_warnings:
            _LOG.warning(line)
    shared = {name: getattr(config, name) for name in ("batch_size", "workers", "resume", "drop")}
    with progress() as bars:
        Session(fabric, run, samples, rivals, **shared, **about).train(config.rivals, config.seeds, bars)
    if fabric.is_global_zero:
        write_others(run)
    return {"run": str(run.path), "rivals": config.rivals, "seeds": config.seeds}


def _refuse_lone(config: TrainingOptions, fabric: Fabric, count: int, rivals: Mapping[str, Rival], experts) -> None:
    """Raises ConfigError, before anything is written, where a rival cannot learn from the smallest batch."""
    batches = Shuffled(count, config.batch_size, 0, fabric.global_rank, fabric.world_size)
    for rival in order(config.rivals, rivals).values() if batches.fewest < 2 else ():
        refuse_lone(synchronised(experts(rival, config.seeds[0]), fabric.world_size, fabric.device), batches)


def experts_of(expert: Callable[[str], nn.Module], shared: Callable[..., Experts], rival: Rival, seed: int) -> Experts:
    """Returns a rival's experts with fresh networks, on shared encoders where its method needs them."""
    if not METHODS[rival.method].shared:
        return separate(expert, rival, seed)
    seed_all(seed, "weights", "shared")
    return shared(rival.experts, head=METHODS[rival.method].head)


def options_of(run: Path, options: type[Options]) -> Options:
    """Returns the options of a run; what an older one does not name is the default."""
    config, known = read_config(run), {option.name: str(option.type) for option in fields(options)}
    if strange := (set(config) - set(known)) | ({"data", "out"} - set(config)):
        raise ConfigError(f"{run / 'config.yaml'} does not fit this version: {', '.join(sorted(strange))}; train again")
    return options(**{name: Path(v) if v and "Path" in known[name] else v for name, v in config.items()})


def restored(run: Path, name: str, rival: Rival, seed: int, experts: Experts, answers: tuple[int, ...]) -> Method:
    """Returns a trained method of a run, ready to answer.

    Args:
        run: Run folder.
        name: The rival's name.
        rival: What it is.
        seed: Whose weights answer.
        experts: Fresh ones.
        answers: Shape of an answer: (*targets, classes).

    Raises:
        CheckpointError: There is no checkpoint, it is damaged, or it does not fit.
    """
    method = learning(rival, experts, torch.ones(answers))
    checkpoint.load_weights(RunFolder(run).checkpoints(name, seed) / "best", method)
    return method


def validation_accuracy(logp: np.ndarray, truth: np.ndarray) -> float:
    """Returns the share of (samples,) whose most probable class, of (samples, classes), is the truth."""
    return accuracy(truth, logp)


def checked(
    config: Options,
    rivals: Mapping[str, Rival],
    positive: tuple[str, ...] = (),
    not_negative: tuple[str, ...] = (),
) -> Options:
    """Returns the options with the rivals of `--method` among `--rivals`.

    Raises:
        ConfigError: With an option there is nothing to train, or the task's experts cannot learn in a method's way.
    """
    config = _with_methods(config, rivals)
    check_names(config.rivals, rivals, "rivals")
    if not config.rivals or not config.seeds:
        raise ConfigError("--rivals and --seeds: name at least one of each")
    for seed in config.seeds:
        check_seed(seed)
    positive, not_negative = ("lr", "batch_size", *positive), ("weight_decay", "workers", *not_negative)
    for name in (*positive, *not_negative):
        _check_number(f"--{name.replace('_', '-')} {getattr(config, name)}", getattr(config, name), name in positive)
    return config


def check_names(given: list[str], known: Mapping[str, Any], option: str) -> None:
    """Raises ConfigError for a name that is not known, with what may have been meant."""
    for name in given:
        if name not in known:
            raise ConfigError(f"--{option} {name} is unknown; {suggestion(name, known)}")


def check_rates(rates: Mapping[str, float], rivals: Mapping[str, Rival], option: str, positive: bool) -> None:
    """Raises ConfigError for a rate of a rival that is not known or not trained, or with which nothing is trained."""
    check_names([*map(str, rates)], rivals, option)
    for name, rate in rates.items():
        if not trained_together(rivals[name]):
            raise ConfigError(f"--{option} {name}: {name} is not trained itself; name the rivals of its experts")
        _check_number(f"--{option} {name}: {rate}", rate, positive)


def _check_number(option: str, value: Any, positive: bool) -> None:
    if not isinstance(value, int | float):
        raise ConfigError(f"{option} is no number; give one")
    if positive and not value > 0:
        raise ConfigError(f"{option} trains nothing; give more than 0")
    if not value >= 0:
        raise ConfigError(f"{option} is negative; give 0 or more")


def _with_methods(config: Options, rivals: Mapping[str, Rival]) -> Options:
    """Returns the options with the rivals of `--method` among `--rivals`."""
    own = {rival.method: name for name, rival in rivals.items() if name == rival.method}
    for name in config.method:
        if name in METHODS and name not in own:
            raise ConfigError(f"--method {name} does not go with this task's experts; choose from {', '.join(own)}")
    check_names(config.method, own, "method")
    return replace(config, rivals=list(dict.fromkeys([*config.rivals, *config.method])), method=[])
