"""Devices are refused in words, and two processes learn what one learns."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from knee_i2m2.errors import ConfigError
from knee_i2m2.methods import METHODS
from knee_i2m2.training import runner
from knee_i2m2.training.runner import launch, seed_all, synchronised


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"device": "gpu"}, "--device gpu: choose auto, cpu, cuda or one card such as cuda:0"),
        ({"device": "cuda:"}, "--device cuda:: choose"),
        ({"device": "cuda:x"}, "--device cuda:x: choose"),
        ({"device": "cpu:1"}, "--device cpu:1: choose"),
        ({"device": "cpu", "precision": "16"}, "--precision 16: choose 32 or bf16"),
        ({"device": "cpu", "threads": 0}, "--threads 0: give at least 1"),
    ],
)
def test_what_there_cannot_be_is_refused_in_words(options: dict, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        launch(**options)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("cards", "device", "sentence"),
    [
        (0, "cuda", "--device cuda: torch finds no CUDA device here; use --device cpu or auto"),
        (0, "cuda:0", "--device cuda:0: torch finds no CUDA device here"),
        (1, "cuda:1", "--device cuda:1: there are only 1 cards, counted from cuda:0"),
    ],
)
def test_a_card_that_is_not_there_is_refused(monkeypatch, cards: int, device: str, sentence: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    with pytest.raises(ConfigError) as caught:
        launch(device)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_half_precision_that_the_cpu_would_emulate_is_refused(monkeypatch, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    with pytest.raises(ConfigError, match="--precision bf16: this CPU has no bf16 hardware"):
        launch(device, "bf16")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    launch(device, "bf16")


def test_threads_are_set() -> None:
    launch("cpu", threads=2)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("environment", "world"),
    [
        ({}, (1, 1)),
        ({"LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8", "SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "2"}, (4, 2)),
        ({"SLURM_NTASKS_PER_NODE": "4", "SLURM_NNODES": "2"}, (4, 2)),
        ({"SLURM_NNODES": "1"}, (1, 1)),
    ],
)
def test_processes_and_nodes_are_those_of_torchrun_or_slurm(environment: dict, world: tuple[int, int]) -> None:
    assert runner._world(environment) == world


def test_a_seed_is_made_of_all_its_names_and_their_order() -> None:
    def draw(*names: object) -> float:
        seed_all(*names)
        return torch.rand(()).item()

    assert draw(0, "weights", "a") == draw(0, "weights", "a")
    assert len({draw(*names) for names in [(0, "a"), ("a", 0), (1, "a"), (0, "b"), (0,), (0, "a", "")]}) == 6


# Two processes --------------------------------------------------------------------------------------------------------


def port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What each of two processes, started as `torchrun` starts them, has after the same training."""
    out, script = tmp_path_factory.mktemp("ranks"), Path(__file__).with_name("two_processes.py")
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port(), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    shared = {**os.environ, **common, "TORCHELASTIC_RUN_ID": "test", "GROUP_RANK": "0", "OMP_NUM_THREADS": "1"}
    methods = str(Path(__file__).parents[1] / "methods")
    shared["PYTHONPATH"] = os.pathsep.join([methods, os.environ.get("PYTHONPATH", "")])
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(out)],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        told = process.communicate(timeout=120)[1]
        assert process.returncode == 0, told
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_two_processes_end_with_the_same_parameters_and_history(ranks: list[dict]) -> None:
    assert all(torch.equal(ranks[0]["state"][name], values) for name, values in ranks[1]["state"].items())
    assert ranks[0]["scores"] == ranks[1]["scores"]
    assert [rank["reports"] for rank in ranks] == [3, 0]  # one of them writes


@pytest.mark.parametrize("name", [name for name, kind in METHODS.items() if kind.fine_tuned])
def test_two_processes_with_a_method_differ_by_nothing_after_twenty_steps(ranks: list[dict], name: str) -> None:
    first, second = (rank["methods"][name] for rank in ranks)
    assert max(float((first[key] - second[key]).abs().max()) for key in first) == 0.0
    assert first.keys() == second.keys()


def test_two_processes_answer_every_sample_once(ranks: list[dict]) -> None:
    for rank in ranks:
        assert rank["key"] == list(range(20))


def test_two_processes_with_half_a_batch_each_learn_what_one_learns(ranks: list[dict], tiny, tmp_path: Path) -> None:
    alone, history = tiny.learn(tmp_path, tiny.product(random=False), epochs=3, samples=32, batch_size=16)
    torch.testing.assert_close(ranks[0]["state"], tiny.state(alone), rtol=1e-4, atol=1e-5)
    assert not torch.equal(tiny.state(alone)["experts.networks.a.network.0.weight"], untrained(tiny))
    assert ranks[0]["scores"] == [epoch.score for epoch in history]


def untrained(tiny) -> torch.Tensor:
    return tiny.state(tiny.product(random=False))["experts.networks.a.network.0.weight"]


@pytest.mark.parametrize(
    ("processes", "device", "kind"),
    [(2, "cuda", nn.SyncBatchNorm), (1, "cuda", nn.BatchNorm1d), (2, "cpu", nn.BatchNorm1d)],
)
def test_batch_normalisation_is_over_all_processes_where_torch_can(processes: int, device: str, kind: type) -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before, x = list(network.parameters()), torch.rand(5, 3)
    answer = network.eval()(x)
    shared = synchronised(network, processes, torch.device(device))
    assert [type(module) for module in shared] == [nn.Linear, kind]
    assert all(a is b for a, b in zip(before, shared.parameters(), strict=True))  # the optimiser's own
    torch.testing.assert_close(shared(x), answer)
