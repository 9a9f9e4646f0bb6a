"""A run folder says what was asked and what happened, and holds one run only."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.training.folder import RunFolder, read_config

CONFIG = {"data": "DATA", "lr": 1e-5, "rivals": ["i2m2"], "seeds": [0], "phase": "cos_sin", "threads": None}
DATA = {"task": "knee", "matrix": [8, 8], "sources": {"a": "00ff"}}


def opened(path: Path, **changes) -> RunFolder:
    return RunFolder.open(path, {**CONFIG, **changes}, DATA)


def test_a_folder_says_what_was_asked_of_which_data_and_by_which_packages(tmp_path: Path) -> None:
    run = opened(tmp_path / "deep" / "run")
    assert read_config(run.path) == CONFIG
    assert json.loads((run.path / "data.json").read_text()) == DATA
    environment = json.loads((run.path / "environment.json").read_text())
    for name in ("torch", "monai", "lightning-fabric", "h5py", "knee_i2m2"):
        assert environment["packages"][name] == version(name)
    assert "pytest" not in environment["packages"]


def test_it_is_opened_again_with_more_rivals_seeds_and_other_machines(tmp_path: Path) -> None:
    opened(tmp_path)
    again = opened(tmp_path, rivals=["i2m2", "phase"], seeds=[0, 1], device="cuda", threads=4, resume=True)
    assert read_config(again.path)["seeds"] == [0, 1]


def test_it_lists_the_rivals_and_seeds_of_all_its_trainings_in_the_order_of_their_first(tmp_path: Path) -> None:
    opened(tmp_path, rivals=["i2m2", "phase"], seeds=[2])
    again = opened(tmp_path, rivals=["magnitude", "phase"], seeds=[0, 2], device="cuda")
    config = read_config(again.path)
    assert (config["rivals"], config["seeds"]) == (["i2m2", "phase", "magnitude"], [2, 0])
    assert config["device"] == "cuda"  # what else may change is as it was last


def test_an_option_that_did_not_exist_yet_had_its_default(tmp_path: Path) -> None:
    opened(tmp_path)
    newer, defaults = {**CONFIG, "augment": False}, {"augment": False, "lr": 3e-4}
    with pytest.raises(ConfigError, match="augment False -> True"):
        RunFolder.open(tmp_path, {**newer, "augment": True}, DATA, defaults)
    with pytest.raises(ConfigError, match="augment None -> False"):
        RunFolder.open(tmp_path, newer, DATA)
    assert read_config(RunFolder.open(tmp_path, newer, DATA, defaults).path)["augment"] is False


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"lr": 1e-4}, "lr 1e-05 -> 0.0001"),
        ({"phase": "angle"}, "phase cos_sin -> angle"),
        ({"lr": 1.0, "phase": "angle"}, "lr 1e-05 -> 1.0, phase cos_sin -> angle"),
        ({"batch_size": 4}, "batch_size None -> 4"),
    ],
)
def test_another_configuration_is_refused_by_the_names_of_its_options(tmp_path: Path, changes, named: str) -> None:
    opened(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match=f"was made otherwise [(]{re.escape(named)}[)]; choose another --out"):
        opened(tmp_path, **changes)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_data_are_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(ConfigError, match=r"was made otherwise \(the prepared data\)"):
        RunFolder.open(tmp_path, CONFIG, {**DATA, "sources": {"a": "ff00"}})


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match="is not a run folder and not empty; choose another --out"):
        opened(tmp_path)
    with pytest.raises(ConfigError, match="is not a run folder"):
        opened(tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("beside", [(), ("phantom", "data")])
def test_an_empty_folder_or_the_demo_s_is_taken(tmp_path: Path, beside: tuple[str, ...]) -> None:
    for name in beside:
        (tmp_path / name).mkdir()
    assert opened(tmp_path).path == tmp_path


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "is no run folder"), ("{", "is no YAML"), ("- 1", "holds no options"), ("", "holds no options")],
)
def test_a_folder_without_its_configuration_is_a_sentence(tmp_path: Path, content: str | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ConfigError, match=f"{sentence}.*run `knee-i2m2 train`"):
        read_config(tmp_path)


def test_a_training_is_finished_when_it_said_so_and_its_best_weights_are_there(tmp_path: Path) -> None:
    run = opened(tmp_path)
    run.log(rival="i2m2", seed=0, epoch=0, score=0.5)
    assert run.finished("i2m2", 0) is None
    run.log(rival="i2m2", seed=0, finished=True, updates=7)
    assert run.finished("i2m2", 0) is None
    run.checkpoints("i2m2", 0).joinpath("best").mkdir(parents=True)
    assert run.finished("i2m2", 0) == {"rival": "i2m2", "seed": 0, "finished": True, "updates": 7}
    assert [run.finished(*other) for other in (("i2m2", 1), ("phase", 0))] == [None, None]


def test_a_training_finished_again_is_known_by_its_last_record(tmp_path: Path) -> None:
    run = opened(tmp_path)
    run.checkpoints("i2m2", 0).joinpath("best").mkdir(parents=True)
    for updates in (7, 9):
        run.log(rival="i2m2", seed=0, finished=True, updates=updates)
    assert run.finished("i2m2", 0)["updates"] == 9


def test_a_record_that_was_cut_off_is_no_record_and_does_not_swallow_the_next(tmp_path: Path) -> None:
    run = opened(tmp_path)
    run.checkpoints("i2m2", 0).joinpath("best").mkdir(parents=True)
    (tmp_path / "metrics.jsonl").write_text('{"rival": "i2m2", "seed": 0, "finished": tr')
    assert run.finished("i2m2", 0) is None
    run.log(rival="i2m2", seed=0, finished=True)
    assert run.finished("i2m2", 0) is not None


@pytest.mark.parametrize(
    "line",
    [
        b'{"rival": "i2m2", "seed": 0, "finished": tr{"rival": "i2m2", "seed": 0, "finished": true}',
        b'{"rival": "i2m2", "finished": true}',
        b'["finished", {}, {}}',
        b'{"rival": "i2m2", "seed": \xff0, "finished": true}',
        b'\x00"finished"}',
    ],
)
def test_a_broken_line_among_the_records_is_a_sentence(tmp_path: Path, line: bytes) -> None:
    run = opened(tmp_path)
    run.log(rival="i2m2", seed=0, epoch=0)
    with (tmp_path / "metrics.jsonl").open("ab") as opened_again:
        opened_again.write(line + b"\n")
    run.log(rival="i2m2", seed=1, finished=True)
    with pytest.raises(DataError, match=r"metrics\.jsonl: line 2 is no closing record of a training; remove this line"):
        run.finished("i2m2", 1)


def test_events_are_dated_lines(tmp_path: Path) -> None:
    run = opened(tmp_path)
    run.tell("began")
    run.tell("ended")
    lines = (tmp_path / "events.log").read_text().splitlines()
    assert [bool(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (began|ended)", line)) for line in lines] == [True, True]
