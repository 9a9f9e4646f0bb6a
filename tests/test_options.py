"""A typed dataclass is the parser of the command line and of the file; what does not fit is a sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Literal

import pytest

from knee_i2m2.cli import COMMANDS, VERBS
from knee_i2m2.errors import ConfigError
from knee_i2m2.options import parse
from knee_i2m2.recipes import knee


@dataclass
class Strengths:
    """How much.

    Attributes:
        shift: At most.
    """

    shift: float = 0.1


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
        rates: One each.
        strengths: Many.
    """

    data: Path
    seeds: list[int] = field(default_factory=lambda: [0])
    snr: tuple[float, float] = (-18.0, -1.0)
    batch_size: int = 32
    phase: Literal["cos_sin", "angle"] = "cos_sin"
    threads: int | None = None
    resume: bool = False
    rates: dict[str, float] = field(default_factory=dict)
    strengths: Strengths = field(default_factory=Strengths)


def train(config: Settings) -> None:
    """Takes the settings."""


def predict(
    run: Path,
    inputs: list[Path],
    /,
    *,
    out: Path,
    seed: list[int] | None = None,
    modalities: list[str] | None = None,
    device: str = "auto",
) -> None:
    """Takes arguments and options.

    Args:
        run: A folder.
        inputs: Files.
        out: A folder.
        seed: Some.
        modalities: Some.
        device: One.
    """


def options(*arguments: str) -> dict:
    return vars(parse("knee-i2m2 train", train, ["--data", "D", *arguments], VERBS)[1]["config"])


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
        ("--rates.phase 1e-5 --rates.i2m2=2", "rates", {"phase": 1e-5, "i2m2": 2.0}),
        ("--strengths.shift 0.5", "strengths", Strengths(0.5)),
    ],
)
def test_what_is_typed_is_what_is_meant(arguments: str, name: str, value: object) -> None:
    assert options(*arguments.split())[name] == value


@pytest.mark.parametrize("typed", [["--rates", "{phase: 1e-5, a+b.2: 2}"], ["--rates={phase: 1e-5, a+b.2: 2}"]])
def test_a_mapping_is_typed_in_braces(typed: list[str]) -> None:
    assert options(*typed)["rates"] == {"phase": 1e-5, "a+b.2": 2.0}


def test_the_parsed_options_are_the_dataclass(tmp_path: Path) -> None:
    assert Settings(**options()) == Settings(Path("D"))


def test_dashes_and_underscores_of_a_value_stay() -> None:
    assert options("--data=my_run-2--b")["data"] == Path("my_run-2--b")


def test_positional_arguments_come_before_options_and_may_be_many() -> None:
    arguments = ["RUN", "a.h5", "b.h5", "--out", "O", "--seed", "1", "2", "--json"]
    values, chosen, as_json = parse("knee-i2m2 predict", predict, arguments)
    assert values == [Path("RUN"), [Path("a.h5"), Path("b.h5")]]
    assert chosen == {"out": Path("O"), "seed": [1, 2], "modalities": None, "device": "auto"}
    assert as_json


@pytest.mark.parametrize(
    "arguments",
    [
        "--seed 1 2 RUN a.h5 b.h5 --out O",  # what is no number is no seed
        "--seed 1 2 --out O RUN a.h5 b.h5",
        "RUN --out O --seed 1 2 -- a.h5 b.h5",
        "RUN a.h5 b.h5 --out O --seed=[1,2]",
    ],
)
def test_numbers_do_not_swallow_the_positional_arguments(arguments: str) -> None:
    values, chosen, _ = parse("knee-i2m2 predict", predict, arguments.split())
    assert values == [Path("RUN"), [Path("a.h5"), Path("b.h5")]]
    assert chosen["seed"] == [1, 2]


@pytest.mark.parametrize("run", ["../RUN", "2024-05", "2a", ".hidden", "1.2.3"])
def test_a_path_that_begins_like_a_number_is_a_path(run: str) -> None:
    assert parse("knee-i2m2 predict", predict, ["--out", "O", "--seed", "1", run, "a.h5"])[0][0] == Path(run)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            "--out O --modalities phase RUN a.h5",
            "required: run, inputs; --modalities has taken [phase, RUN, a.h5]: put RUN INPUTS before the options",
        ),
        ("RUN --modalities phase a.h5 --out O", "inputs; --modalities has taken [phase, a.h5]: put INPUTS before"),
        ("RUN --out O --seed 1 2", "inputs; --seed has taken [1, 2]: put INPUTS before the options"),
        ("RUN a.h5 --out O --seed x", "--seed: Expected one of list[int], NoneType. Given value: ['x']"),
    ],
)
def test_words_that_a_list_has_swallowed_are_named(arguments: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse("knee-i2m2 predict", predict, arguments.split())
    assert sentence in str(caught.value)


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
        parse("knee-i2m2 train", train, [])
    with pytest.raises(ConfigError, match=r"required: .*inputs"):
        parse("knee-i2m2 predict", predict, ["RUN", "--out", "O"])


@pytest.mark.parametrize("arguments", ["--config FILE --batch-size 4", "--batch-size 4 --config=FILE --resume"])
def test_a_file_gives_the_options_and_what_is_typed_wins_wherever_it_stands(tmp_path: Path, arguments: str) -> None:
    content = "seeds: [1, 2]\nsnr: [-3, 3]\nbatch_size: 8\nthreads: null\ndata: E\nrates: {phase: 1e-5}\n"
    (tmp_path / "c.yaml").write_text(content)
    chosen = options(*arguments.replace("FILE", str(tmp_path / "c.yaml")).split())
    assert (chosen["seeds"], chosen["snr"], chosen["batch_size"]) == ([1, 2], (-3.0, 3.0), 4)
    assert (chosen["data"], chosen["rates"]) == (Path("D"), {"phase": 1e-5})


def test_of_several_files_the_last_wins(tmp_path: Path) -> None:
    for name, content in (("a.yaml", "batch_size: 8\nthreads: 3"), ("b.yaml", "batch_size: 16")):
        (tmp_path / name).write_text(content)
    chosen = options("--config", str(tmp_path / "a.yaml"), "--config", str(tmp_path / "b.yaml"))
    assert (chosen["batch_size"], chosen["threads"]) == (16, 3)


def take(run: Path, /, config: Settings) -> None:
    """Takes both."""


@pytest.mark.parametrize("arguments", ["RUN --config FILE", "--config FILE RUN", "--config FILE -- RUN"])
def test_what_is_typed_wins_over_the_file_as_a_positional_argument_too(tmp_path: Path, arguments: str) -> None:
    (tmp_path / "c.yaml").write_text("run: ELSEWHERE\ndata: D\n")
    typed = arguments.replace("FILE", str(tmp_path / "c.yaml")).split()
    values, chosen, _ = parse("knee-i2m2 take", take, typed)
    assert (values, chosen["config"].data) == ([Path("RUN")], Path("D"))


def test_behind_two_dashes_config_is_a_name() -> None:
    values, _, _ = parse("knee-i2m2 take", take, ["--data", "D", "--", "--config"])
    assert values == [Path("--config")]


SECTIONED = """
prepare: {split: volume}
train:
  batch_size: 4
  rates: {phase: 1e-5, i2m2: 1.0e-6}  # the first is a number to this parser, though not to every YAML reader
"""


def test_of_a_file_with_sections_the_verb_takes_its_own(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(SECTIONED)
    chosen = options("--config", str(tmp_path / "c.yaml"))
    assert (chosen["batch_size"], chosen["rates"]) == (4, {"phase": 1e-5, "i2m2": 1e-6})
    with pytest.raises(ConfigError, match="has sections for prepare, train, but none for phantom; add phantom:"):
        parse("knee-i2m2 phantom", train, ["--data", "D", "--config", str(tmp_path / "c.yaml")], VERBS)


def test_sections_may_share_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("prepare: &common {batch_size: 7}\ntrain: {<<: *common, threads: 2}")
    chosen = options("--config", str(tmp_path / "c.yaml"))
    assert (chosen["batch_size"], chosen["threads"]) == (7, 2)


@dataclass
class Sizes:
    """Makes splits.

    Attributes:
        train: For training.
    """

    train: int = 1


def split(config: Sizes) -> None:
    """Takes sizes."""


def test_an_option_with_a_verb_s_name_is_no_section(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("train: 20")
    arguments = ["--config", str(tmp_path / "c.yaml")]
    assert parse("knee-i2m2 prepare sizes", split, arguments, VERBS)[1] == {"config": Sizes(20)}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("sedes: [1]", "Option 'sedes' is not accepted; did you mean --seeds?"),
        ("batch_size: many", "--batch-size: Expected a int. Got value: many"),
        ("data: [", "Problems parsing config"),
        ("- 1", "Unexpected config"),
        ("strengths: 3", "--strengths: Expected its own options by name. Got value: 3"),
        ("strengths: null", "--strengths: Expected its own options by name. Got value: None"),
        ("strengths: {shif: 3}", "Group 'strengths' does not accept option 'shif'"),
        ("rates: 3", "--rates: Expected a dict. Got value: 3"),
        ("train: {sedes: [1]}", "Option 'sedes' is not accepted; did you mean --seeds?"),
        ("train: [1]", "Unexpected config"),
        ("prepare: {seed: 1}", "--config: the file has sections for prepare, but none for train; add train:"),
        ("train: {threads: 1}\nseeds: [1]", "--config: seeds stands beside the sections train; put it into one"),
        ("{[1]: 2}", "Problems parsing config"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        options("--config", str(tmp_path / "c.yaml"))
    assert str(caught.value).startswith(sentence)
    assert str(tmp_path / "c.yaml") in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["sedes: [1]", "batch_size: many", "batch-size: many", "strengths: {shif: 3}", "phase: x"]
)
@pytest.mark.parametrize("content", ["{}", "train:\n  {}"])
def test_of_several_files_that_with_the_fault_is_named(tmp_path: Path, key: str, content: str) -> None:
    for name, text in (("good.yaml", "threads: 1"), ("bad.yaml", content.format(key)), ("fine.yaml", "resume: true")):
        (tmp_path / name).write_text(text)
    files = [part for name in ("good", "bad", "fine") for part in ("--config", str(tmp_path / f"{name}.yaml"))]
    with pytest.raises(ConfigError, match=r"bad\.yaml") as caught:
        options(*files)
    assert "good.yaml" not in str(caught.value) and "fine.yaml" not in str(caught.value)


def test_a_fault_that_was_typed_blames_no_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("batch_size: 3")
    with pytest.raises(ConfigError) as caught:
        options("--config", str(tmp_path / "c.yaml"), "--batch-size", "many")
    assert "c.yaml" not in str(caught.value)


def test_what_is_required_is_explained() -> None:
    with pytest.raises(ConfigError, match=r"required: annotations.*knee\.csv.*github\.com/microsoft/fastmri-plus"):
        parse("knee-i2m2 prepare knee", knee.prepare, ["FOLDER", "--out", "O"], VERBS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_no_types_of_python(command: str, capsys: pytest.CaptureFixture) -> None:
    module, _, name = COMMANDS[command].partition(":")
    with pytest.raises(SystemExit):
        parse(f"knee-i2m2 {command}", getattr(import_module(f"knee_i2m2.{module}"), name), ["--help"], VERBS)
    shown = " ".join(capsys.readouterr().out.split())
    assert not re.search(r"type:|<class|NoneType|\| null|Literal|list\[|\['|ITEM,", shown)


def test_the_help_is_the_documentation_with_dashes(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse("knee-i2m2 train", train, ["--help"])
    shown = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "Trains something." in shown
    assert "--batch-size BATCH_SIZE" in shown
    assert "Samples a step." in shown


def test_a_file_of_the_package_is_found_by_its_name_and_a_file_that_is_here_comes_first(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--data", "D", "--out", "O", "--config", "knee_original.yaml"]
    assert parse("knee-i2m2 train knee", knee.train, arguments, VERBS)[1]["config"].network == "preact_resnet18"
    (tmp_path / "knee_original.yaml").write_text("network: small\n")
    assert parse("knee-i2m2 train knee", knee.train, arguments, VERBS)[1]["config"].network == "small"
