"""A typed dataclass is the parser of the command line and of the file; what does not fit is a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from knee_i2m2.errors import ConfigError
from knee_i2m2.options import parse


@dataclass
class Settings:
    """Trains something.

    More about it.

    Attributes:
        data: Where it lies.
        seeds: One training each.
        snr: Range in dB.
        batch_size: Samples a step.
        phase: How it enters.
        threads: Or none.
        resume: Whether to go on.
    """

    data: Path
    seeds: list[int] = field(default_factory=lambda: [0])
    snr: tuple[float, float] = (-18.0, -1.0)
    batch_size: int = 32
    phase: Literal["cos_sin", "angle"] = "cos_sin"
    threads: int | None = None
    resume: bool = False


def train(config: Settings) -> None:
    """Takes the settings."""


def predict(
    run: Path, inputs: list[Path], /, *, out: Path, seed: list[int] | None = None, device: str = "auto"
) -> None:
    """Takes arguments and options.

    Args:
        run: A folder.
        inputs: Files.
        out: A folder.
        seed: Some.
        device: One.
    """


def options(*arguments: str) -> dict:
    return parse("knee-i2m2 train", train, ["--data", "D", *arguments], Settings)[1]


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        ("", "seeds", [0]),
        ("--seeds 0 1 2", "seeds", [0, 1, 2]),
        ("--seeds 5", "seeds", [5]),
        ("--seeds 1 2 --resume", "seeds", [1, 2]),
        ("--seeds=[3,4]", "seeds", [3, 4]),
        ("--snr -12 3.5", "snr", (-12.0, 3.5)),  # a minus is no option
        ("--batch-size 8", "batch_size", 8),
        ("--batch_size=8", "batch_size", 8),
        ("--phase angle", "phase", "angle"),
        ("--threads 2", "threads", 2),
        ("--resume", "resume", True),
        ("--resume --seeds 1", "resume", True),
        ("--resume false", "resume", False),
    ],
)
def test_what_is_typed_is_what_is_meant(arguments: str, name: str, value: object) -> None:
    assert options(*arguments.split())[name] == value


def test_the_parsed_options_are_the_dataclass(tmp_path: Path) -> None:
    assert Settings(**options()) == Settings(Path("D"))


def test_dashes_and_underscores_of_a_value_stay() -> None:
    assert options("--data=my_run-2--b")["data"] == Path("my_run-2--b")


def test_positional_arguments_come_before_options_and_may_be_many() -> None:
    arguments = ["RUN", "a.h5", "b.h5", "--out", "O", "--seed", "1", "2", "--json"]
    values, chosen, as_json = parse("knee-i2m2 predict", predict, arguments)
    assert values == [Path("RUN"), [Path("a.h5"), Path("b.h5")]]
    assert chosen == {"out": Path("O"), "seed": [1, 2], "device": "auto"}
    assert as_json


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--sedes 1", "unrecognized arguments: --sedes 1; did you mean --seeds?"),
        ("--seed 1", "unrecognized arguments: --seed 1; did you mean --seeds?"),  # no guess is taken for granted
        ("--bach-size 1", "unrecognized arguments: --bach-size 1; did you mean --batch-size?"),
        ("--frobnicate", "unrecognized arguments: --frobnicate"),
        ("extra", "unrecognized arguments: extra"),
        ("--batch-size many", "--batch-size: Expected a int. Got value: many"),
        ("--seeds 1 x", "--seeds: Expected a int. Got value: x"),
        ("--seeds", "argument --seeds"),
        ("--snr 1", "--snr: Expected a tuple with 2 elements"),
        ("--phase angel", "--phase: Expected one of 'cos_sin', 'angle'. Got value: angel"),
        ("--threads few", "--threads: Expected one of int, NoneType. Given value: few"),
        ("--config absent.yaml", "--config: File does not exist"),
    ],
)
def test_what_does_not_fit_is_one_sentence_that_names_the_option(arguments: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        options(*arguments.split())
    assert str(caught.value).startswith(sentence)
    assert str(caught.value).endswith("(see knee-i2m2 train --help)")
    assert "\n" not in str(caught.value)


def test_what_is_required_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="required: data"):
        parse("knee-i2m2 train", train, [], Settings)
    with pytest.raises(ConfigError, match=r"required: .*inputs"):
        parse("knee-i2m2 predict", predict, ["RUN", "--out", "O"])


def test_a_file_gives_the_options_and_what_is_typed_after_it_wins(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("seeds: [1, 2]\nsnr: [-3, 3]\nbatch_size: 8\nthreads: null\n")
    chosen = options("--config", str(tmp_path / "c.yaml"), "--batch-size", "4")
    assert (chosen["seeds"], chosen["snr"], chosen["batch_size"]) == ([1, 2], (-3.0, 3.0), 4)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("sedes: [1]", "Option 'sedes' is not accepted; did you mean --seeds?"),
        ("batch_size: many", "--batch-size: Expected a int. Got value: many"),
        ("data: [", "Problems parsing config"),
        ("- 1", "Unexpected config"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        options("--config", str(tmp_path / "c.yaml"))
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_the_help_is_the_documentation_with_dashes(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse("knee-i2m2 train", train, ["--help"], Settings)
    shown = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "Trains something." in shown
    assert "--batch-size BATCH_SIZE" in shown
    assert "Samples a step." in shown
