"""Speed as ratios, measured in one run against what users would pick and against the machine's limit.

Command::

    knee-i2m2 bench data          k-space to loader, and an epoch from the cache: fastMRI's SliceDataset, memory copy
    knee-i2m2 bench step          a training step of three experts: matrix multiplication
    knee-i2m2 bench statistics    AUROC with a patient-clustered bootstrap: a loop over scikit-learn, memory copy

Both sides are warmed, take turns, and are given as medians. Times depend on the machine and on what else it does; the
ratios depend on that less.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.optim import AdamW
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from knee_i2m2.errors import ConfigError
from knee_i2m2.evaluation.statistics.auroc import auroc
from knee_i2m2.evaluation.statistics.bootstrap import cluster_weights, clustered_interval
from knee_i2m2.experts.knee import NETWORKS, knee_expert
from knee_i2m2.methods.method import Method
from knee_i2m2.modalities.undersampling import GET_FASTMRI
from knee_i2m2.recipes.knee import RIVALS, PrepareKnee, prepare
from knee_i2m2.recipes.training import check_names
from knee_i2m2.sources.fastmri import open_knee
from knee_i2m2.sources.phantom.scanner import Protocol, write_kspace
from knee_i2m2.training.batches import Shuffled, loader, on_device
from knee_i2m2.training.rivals import assemble
from knee_i2m2.training.runner import launch
from knee_i2m2.types import Batch

__all__ = ["BenchData", "BenchStatistics", "BenchStep", "data", "statistics", "step"]


@dataclass
class BenchData:
    """Times the way from k-space, and from the cache, to float32 magnitude and phase in batches.

    Attributes:
        volumes: Files of noise that are read, of fastMRI's size.
        slices: In each.
        columns: Of k-space; fastMRI's commonest are 368 and 372.
        matrix: Rows and columns of the image; k-space has twice as many rows.
        batch_size: Slices a batch.
        workers: Processes of both loaders that start from k-space.
        threads: Of torch in this process; its workers have one each.
        repeats: Epochs that are timed.
    """

    volumes: int = 6
    slices: int = 30
    columns: int = 368
    matrix: int = 320
    batch_size: int = 8
    workers: int = 2
    threads: int = 1
    repeats: int = 5


def data(config: BenchData) -> dict[str, Any]:
    """Returns one row a way, in milliseconds a slice, and the seconds from opening the cache to its first batch.

    Raises:
        ConfigError: A number is too small, or the package `fastmri` is not installed.
    """
    _check(config)
    torch.set_num_threads(config.threads)
    with tempfile.TemporaryDirectory() as folder:
        archive = _write_archive(Path(folder) / "archive", config)
        options = PrepareKnee(annotations=archive / "knee.csv", out=Path(folder) / "cached", split="volume")
        computed = replace(options, out=Path(folder) / "computed", no_cache=True)
        prepare(archive, options)
        prepare(archive, computed)
        peer = _peer(archive, config)
        raw, cached = (_batches(folder, config, w) for folder, w in ((computed.out, config.workers), (options.out, 0)))
        ways = {
            "SliceDataset, 2-D transform, crop, magnitude and phase": (partial(_drain, peer), len(peer.dataset)),
            "k-space to magnitude and phase": (partial(_train_on, raw), len(raw.dataset)),
            "cache to magnitude and phase": (partial(_train_on, cached), len(cached.dataset)),
            "memory copy of magnitude and phase": _copying((config.batch_size, 2, config.matrix, config.matrix)),
        }
        first = _seconds(lambda: next(on_device("cpu", _batches(options.out, config, 0))))
        return {"first_batch_seconds": first, "rows": _rows(ways, config.repeats, "slice"), **_machine()}


def _write_archive(folder: Path, config: BenchData) -> Path:
    """Writes volumes of noise, their list, and annotations that find something in the first one."""
    generator, padding = np.random.default_rng(0), config.columns // 20
    acquired = (padding, config.columns - padding)
    protocol = Protocol(config.matrix, config.columns, acquired, "CORPD_FBK", 2.894, noise=1.0)
    names = [f"file{number:07d}" for number in range(config.volumes)]
    for name in names:
        parts = generator.normal(scale=1e-4, size=(config.slices, 2 * config.matrix, config.columns, 2))
        kspace = protocol.zero_padded(torch.view_as_complex(torch.from_numpy(parts.astype(np.float32))))
        rss = torch.zeros(config.slices, config.matrix, config.matrix)
        write_kspace(folder / "singlecoil_train" / f"{name}.h5", kspace, rss, protocol, patient=name)
    header, finding = "file,slice,study_level,x,y,width,height,label", f"{names[0]},0,No,9,9,9,9,Meniscus Tear"
    (folder / "knee.csv").write_text(f"{header}\n{finding}\n")
    (folder / "knee_file_list.csv").write_text("\n".join(names))
    return folder


def _batches(folder: Path, config: BenchData, workers: int) -> DataLoader:
    samples = open_knee(folder, "train")
    return loader(samples, Shuffled(len(samples), config.batch_size, seed=0), workers)


def _peer(archive: Path, config: BenchData) -> DataLoader:
    """Returns what users would pick: fastMRI's own dataset and transforms, and torch's loader."""
    try:
        from fastmri.data import SliceDataset
    except ImportError as error:
        raise ConfigError(f"the peer of `bench data` is the package fastmri, not here; {GET_FASTMRI}") from error
    transform = partial(_fastmri_transform, config.matrix)
    dataset = SliceDataset(archive / "singlecoil_train", "singlecoil", transform=transform)
    workers = {"num_workers": config.workers, "persistent_workers": config.workers > 0}
    return DataLoader(dataset, batch_size=config.batch_size, shuffle=True, **workers)


def _fastmri_transform(matrix: int, kspace: np.ndarray, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
    import fastmri
    from fastmri.data.transforms import complex_center_crop, to_tensor

    image = torch.view_as_complex(complex_center_crop(fastmri.ifft2c(to_tensor(kspace)), (matrix, matrix)).contiguous())
    return image.abs(), image.angle()


@dataclass
class BenchStep:
    """Times a training step of the three experts of I2M2 on random images.

    Attributes:
        network: Of each expert: resnet18, preact_resnet18 or small.
        matrix: Rows and columns of the images.
        batch_size: Slices a step.
        device: cpu, or cuda.
        repeats: Steps that are timed.
    """

    network: str = "resnet18"
    matrix: int = 320
    batch_size: int = 8
    device: str = "cpu"
    repeats: int = 5


def step(config: BenchStep) -> dict[str, Any]:
    """Returns the times of a step and of a matrix multiplication of as many floating-point operations.

    Raises:
        ConfigError: A number is too small, there is no such network, or no such device.
    """
    _check(config)
    check_names([config.network], NETWORKS, "network")
    device = launch(config.device).device
    answers, matrix = (4, 2), (config.matrix, config.matrix)
    expert = partial(knee_expert, answers=answers, matrix=matrix, network=config.network)
    method = assemble(RIVALS["i2m2"], expert, torch.ones(answers), 0).to(device)
    batch = _random_batch(config, device)
    counter = FlopCounterMode(display=False)
    with counter:
        _step(method, batch, AdamW(method.parameters()))
    operations = counter.get_total_flops()
    ways = {
        "step of three experts": (partial(_step, method, batch, AdamW(method.parameters())), config.batch_size),
        "matrix multiplication of as many operations": _multiplying(operations, config.batch_size, device),
    }
    rows = _rows(ways, config.repeats, "slice", peer=False)
    return {"operations_a_step": operations, "rows": rows, **_machine()}


def _random_batch(config: BenchStep, device: torch.device) -> Batch:
    shape = (config.batch_size, 1, config.matrix, config.matrix)
    x = {name: torch.randn(shape, device=device) for name in ("magnitude", "phase")}
    truth = torch.randint(2, (config.batch_size, 4), device=device)
    return Batch(x, truth, torch.arange(config.batch_size))


def _step(method: Method, batch: Batch, optimiser: AdamW) -> None:
    optimiser.zero_grad(set_to_none=True)
    sum(method.losses(batch.x, batch.y).values()).backward()
    optimiser.step()


def _multiplying(operations: int, slices: int, device: torch.device) -> tuple[Callable[[], Any], int | float]:
    """Returns multiplications of 2048 x 2048 matrices that take as many operations, for as many slices."""
    size = 2048
    a, b, c = (torch.randn(size, size, device=device) for _ in range(3))
    times = max(round(operations / (2 * size**3)), 1)
    share = operations / (times * 2 * size**3)
    return partial(_repeat, times, partial(torch.mm, a, b, out=c)), slices / share


@dataclass
class BenchStatistics:
    """Times AUROC with its patient-clustered bootstrap interval.

    Attributes:
        samples: Slices.
        patients: Whose slices they are.
        replicates: Of the bootstrap.
        repeats: Intervals that are timed.
    """

    samples: int = 5000
    patients: int = 500
    replicates: int = 1000
    repeats: int = 5


def statistics(config: BenchStatistics) -> dict[str, Any]:
    """Returns the times of an interval by this package, by a loop over scikit-learn, and of a copy of its weights.

    Raises:
        ConfigError: A number is too small.
    """
    _check(config)
    generator = np.random.default_rng(0)
    patients = generator.integers(config.patients, size=config.samples)
    truth = (generator.random(config.samples) < 0.12).astype(np.int64)
    scores = truth + generator.normal(size=config.samples)
    weights = cluster_weights(config.patients, config.replicates, generator)[patients]
    copied = np.empty_like(weights)
    ours = partial(clustered_interval, auroc, truth, scores, patients, config.replicates)
    ways = {
        "loop over sklearn.metrics.roc_auc_score": (partial(_sklearn_loop, truth, scores, weights), 1),
        "clustered_interval": (ours, 1),
        "memory copy of the weights": (partial(np.copyto, copied, weights), 1),
    }
    return {"rows": _rows(ways, config.repeats, "interval"), **_machine()}


def _sklearn_loop(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> list[float]:
    return [roc_auc_score(truth, scores, sample_weight=column) for column in weights.T]


def _rows(
    ways: Mapping[str, tuple[Callable[[], Any], int | float]], repeats: int, unit: str, peer: bool = True
) -> list[dict[str, Any]]:
    """Returns one row a way: median milliseconds a unit, how many times as fast as the first (the peer), and how many
    times as long as the last (the limit).

    Every way is run once to warm it; then they take turns.
    """
    for run, _ in ways.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for name, (run, _) in [way for _ in range(repeats) for way in ways.items()]:
        seconds[name].append(_seconds(run))
    each = {name: 1e3 * median(seconds[name]) / units for name, (_, units) in ways.items()}
    first, *_, last = each.values()
    return [
        {"what": name, "unit": unit, "ms": ms, "times_peer": first / ms if peer else None, "times_limit": ms / last}
        for name, ms in each.items()
    ]


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _drain(batches: Iterable[Any]) -> None:
    for _ in batches:
        pass


def _train_on(batches: Iterable[Batch]) -> None:
    """Takes the batches as a training does, in float32."""
    _drain(on_device("cpu", batches))


def _repeat(times: int, run: Callable[[], Any]) -> None:
    for _ in range(times):
        run()


def _copying(shape: tuple[int, ...]) -> tuple[Callable[[], Any], int | float]:
    """Returns the copy of a batch of float32, twenty times, and its slices."""
    source, target = torch.ones(shape), torch.zeros(shape)
    return partial(_repeat, 20, partial(target.copy_, source)), 20 * shape[0]


def _machine() -> dict[str, Any]:
    return {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def _check(config: BenchData | BenchStep | BenchStatistics) -> None:
    """Raises ConfigError for a number with which there is nothing to time."""
    least = {"workers": 0, "volumes": 3, "columns": 20, "matrix": 32, "samples": 100, "patients": 2}
    least |= {"batch_size": 2} if isinstance(config, BenchStep) else {}
    for name, value in vars(config).items():
        if isinstance(value, int) and value < least.get(name, 1):
            raise ConfigError(f"--{name.replace('_', '-')} {value}: give at least {least.get(name, 1)}")
    if isinstance(config, BenchData) and config.columns < config.matrix:
        raise ConfigError(f"--columns {config.columns}: give at least as many as --matrix {config.matrix}")
