"""The command line ends every mistake of a user in one sentence, and shows a traceback of our own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from knee_i2m2 import cli
from knee_i2m2.errors import CheckpointError, ConfigError, DataError, KneeError
from knee_i2m2.experts.knee import knee_expert
from knee_i2m2.recipes.knee import RIVALS, Knee
from knee_i2m2.sources.fastmri.prepare import SETTINGS, PrepareKnee
from knee_i2m2.training import checkpoint
from knee_i2m2.training.folder import RunFolder
from knee_i2m2.training.rivals import assemble
from knee_i2m2.training.session import options

HEADER = "file,slice,study_level,x,y,width,height,label"
TARGETS = ["abnormal", "meniscus", "acl", "cartilage"]
PATIENTS = 8


@pytest.fixture
def knee(capsys: pytest.CaptureFixture):
    """Runs a command; returns exit code, standard output and the lines on standard error without progress bars."""

    def run(*arguments: object) -> tuple[int, str, list[str]]:
        code = cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, [line for line in err.splitlines() if line.startswith("knee-i2m2") or "Error" in line]

    return run


def refused(answer: tuple[int, str, list[str]], code: int, *words: str) -> None:
    """Asserts one sentence with these words, and nothing printed."""
    assert answer[0] == code
    assert answer[1] == ""
    (sentence,) = answer[2]
    assert sentence.startswith("knee-i2m2: ")
    for word in words:
        assert word in sentence


# Help and usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", cli.COMMANDS)
def test_every_verb_explains_its_options(knee, verb: str) -> None:
    code, out, errors = knee(*verb.split(), "--help")
    assert (code, errors) == (0, [])
    assert f"usage: knee-i2m2 {verb}" in out
    assert "--json" in out


@pytest.mark.parametrize("name", ["prepare", "train"])
def test_a_verb_of_several_tasks_names_them(knee, name: str) -> None:
    code, out, _ = knee(name, "--help")
    assert code == 0
    assert all(task.split()[1] in out for task in cli.COMMANDS if task.startswith(name))


def test_one_file_holds_the_options_of_several_verbs_in_sections(knee, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("scenes: {train: 4, val: 4, test: 8}\ntrain: {batch_size: 16}\n")
    code, out, errors = knee("scenes", tmp_path / "out", "--config", tmp_path / "c.yaml", "--json")
    assert (code, errors, json.loads(out)["examples"]) == (0, [], 16)


@pytest.mark.parametrize("asked", [["help"], ["help", "train"], ["help", "train", "knee"], ["help", "evaluate"]])
def test_help_is_a_verb(knee, asked: list[str]) -> None:
    assert knee(*asked) == knee(*asked[1:], "--help")
    assert knee(*asked)[0] == 0


def test_without_a_verb_the_help_is_shown_as_wrong_usage(knee) -> None:
    code, out, _ = knee()
    assert code == 2
    assert all(f"\n  {verb}" in out for verb in cli.VERBS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], ["there is no verb trian", "did you mean train?"]),
        (["frobnicate"], ["there is no verb frobnicate", "choose from demo"]),
        (["train", "kne"], ["there is no task kne", "did you mean knee?"]),
        (["train", "knee", "--sedes", "1"], ["--sedes", "did you mean --seeds?"]),
        (["evaluate", "RUN", "--replicate", "9"], ["--replicate", "did you mean --replicates?"]),
        (["evaluate"], ["required: run"]),
        (["audit", "DIR"], ["required: annotations"]),
    ],
)
def test_what_is_typed_wrong_is_one_sentence_with_a_suggestion(knee, arguments: list[str], words: list[str]) -> None:
    refused(knee(*arguments), 2, *words)


# Whose fault it is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("two things do not fit"), 2),
        (DataError("a.h5", "holds no kspace", "look again"), 3),
        (CheckpointError("best", "is damaged"), 4),
        (KneeError("something"), 1),
    ],
)
def test_every_error_of_the_tree_has_its_exit_code(knee, monkeypatch, error: KneeError, code: int) -> None:
    def verb() -> None:
        """Fails."""
        raise error

    monkeypatch.setattr("knee_i2m2.recipes.evaluate.report", verb)
    refused(knee("report"), code, str(error))


@pytest.mark.parametrize("bug", [TypeError, KeyError, ZeroDivisionError, OSError])
def test_a_bug_of_our_own_shows_its_traceback(knee, monkeypatch, bug: type[Exception]) -> None:
    def verb() -> None:
        """Has a bug."""
        raise bug("ours")

    monkeypatch.setattr("knee_i2m2.recipes.evaluate.report", verb)
    with pytest.raises(bug, match="ours"):
        knee("report")


def test_an_interruption_is_no_traceback(knee, monkeypatch) -> None:
    def verb() -> None:
        """Waits."""
        raise KeyboardInterrupt

    monkeypatch.setattr("knee_i2m2.recipes.evaluate.report", verb)
    refused(knee("report"), 130, "interrupted")


# Folders of volumes ---------------------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path: Path, fastmri_file: ModuleType) -> Path:
    """A folder of tiny volumes of as many patients, and their annotations."""
    rows, labels = [HEADER], ("Ligament - ACL Low Grade sprain", "Meniscus Tear")
    for number in range(PATIENTS):
        fastmri_file.write(tmp_path / "fastmri" / f"file{number}.h5", patient=f"p{number}")
        rows.append(f"file{number},{number % 3},No,1,1,2,2,{labels[number % 2]}")
    (tmp_path / "knee.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def prepare(knee, archive: Path):
    return knee(
        "prepare", "knee", archive / "fastmri", "--annotations", archive / "knee.csv", "--out", archive / "data"
    )


def audit(knee, archive: Path):
    return knee("audit", archive / "fastmri", "--annotations", archive / "knee.csv", "--json")


def test_a_good_archive_is_audited_and_prepared(knee, archive: Path) -> None:
    code, out, errors = audit(knee, archive)
    assert (code, errors, json.loads(out)["volumes"]) == (0, [], PATIENTS)
    assert prepare(knee, archive)[0] == 0
    assert json.loads((archive / "data" / "data.json").read_text())["matrix"] == [8, 8]


def test_verbs_say_what_they_wrote_and_what_follows(knee, archive: Path) -> None:
    folder, csv = archive / "fastmri", archive / "knee.csv"
    for verb in ("audit", "prepare"):
        command = [verb, *(["knee"] if verb == "prepare" else []), folder, "--annotations", csv]
        code, out, _ = knee(*command, *(["--out", archive / "data"] if verb == "prepare" else []))
        assert code == 0
        *_, before, last = out.splitlines()
        follows = {
            "audit": f"knee-i2m2 prepare knee {folder} --annotations {csv} --out DATA",
            "prepare": f"knee-i2m2 train knee --data {archive / 'data'} --out RUN",
        }
        assert last == f"next: {follows[verb]}"
        assert verb == "audit" or before == f"written: {archive / 'data'}"


def noisy(value: complex) -> np.ndarray:
    values = np.ones((3, 16, 12), np.complex64)
    values[1, 5, 5] = value
    return values


FAULTS = {
    "is no HDF5 file": lambda path, tools: path.write_bytes(b"no HDF5 at all"),
    "is truncated": lambda path, tools: tools.cut(path, 0.4),
    "has no kspace": lambda path, tools: tools.without(path, "kspace"),
    "has a wrong rank": lambda path, tools: tools.write(path, values=np.ones((16, 12), np.complex64), layout="bare"),
    "holds NaN": lambda path, tools: tools.write(path, values=noisy(np.nan), layout="bare"),
    "holds infinity": lambda path, tools: tools.write(path, values=noisy(np.inf), layout="bare"),
    "is all zero": lambda path, tools: tools.write(path, values=np.zeros((3, 16, 12), np.complex64), layout="bare"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_volume_stops_the_preparation_in_one_sentence_and_leaves_no_data(
    knee, archive: Path, fastmri_file: ModuleType, fault: str
) -> None:
    FAULTS[fault](archive / "fastmri" / "file3.h5", fastmri_file)
    refused(prepare(knee, archive), 3, "file3.h5")
    assert [path for path in (archive / "data").glob("*") if not path.name.startswith(".")] == []
    refused(knee("train", "knee", "--data", archive / "data", "--out", archive / "run"), 3, "no finished prepared data")
    assert not (archive / "run").exists()


@pytest.mark.parametrize("fault", ["is no HDF5 file", "is truncated", "has no kspace", "has a wrong rank"])
def test_a_faulty_volume_is_listed_by_the_audit(knee, archive: Path, fastmri_file: ModuleType, fault: str) -> None:
    FAULTS[fault](archive / "fastmri" / "file3.h5", fastmri_file)
    code, out, _ = audit(knee, archive)
    found = json.loads(out)
    assert (code, found["volumes"]) == (0, PATIENTS - 1)
    assert [entry["file"] for entry in found["unreadable"]] == ["file3.h5"]


CSV_FAULTS = {
    "there is no such file": lambda path: path.unlink(),
    "no column": lambda path: path.write_text(path.read_text().replace("label", "lable")),
    "Broken Leg": lambda path: path.write_text(path.read_text().replace("Meniscus Tear", "Broken Leg")),
}


@pytest.mark.parametrize("verb", [audit, prepare])
@pytest.mark.parametrize("fault", CSV_FAULTS)
def test_faulty_annotations_are_one_sentence_and_leave_no_data(knee, archive: Path, fault: str, verb) -> None:
    CSV_FAULTS[fault](archive / "knee.csv")
    refused(verb(knee, archive), 3, "knee.csv", fault)
    assert not (archive / "data").exists()


@pytest.mark.parametrize("verb", [audit, prepare])
@pytest.mark.parametrize("made", [False, True])
def test_a_missing_or_empty_folder_is_one_sentence(knee, archive: Path, verb, made: bool) -> None:
    (archive / "fastmri").rename(archive / "elsewhere")
    if made:
        (archive / "fastmri").mkdir()
    refused(verb(knee, archive), 3, "fastmri")
    assert not (archive / "data").exists()


# Run folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize(
    ("verb", "code"),
    [(["train", "knee", "--out", "O", "--data"], 3), (["evaluate"], 3), (["report"], 3), (["predict"], 2)],
)
def test_a_folder_that_holds_nothing_is_one_sentence(knee, tmp_path: Path, monkeypatch, verb, code, made) -> None:
    monkeypatch.chdir(tmp_path)
    if made:
        (tmp_path / "empty").mkdir()
    more = ["a.h5", "--out", "O"] if verb == ["predict"] else []
    refused(knee(*verb, tmp_path / "empty", *more), code, "empty")
    assert not (tmp_path / "O").exists()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with untrained weights."""
    config = replace(Knee(Path("DATA"), tmp_path / "run"), network="small", rivals=["magnitude"])
    settings = {name: getattr(PrepareKnee(Path("CSV"), Path("DATA")), name) for name in SETTINGS}
    data = {"task": "knee", "targets": TARGETS, "classes": 2, "matrix": [8, 8], "settings": settings}
    folder = RunFolder.open(config.out, options(config), data)
    method = assemble(RIVALS["magnitude"], lambda e: knee_expert(e, (4, 2), (8, 8), "small"), torch.ones(4, 2), 0)
    checkpoint.save(folder.checkpoints("magnitude", 0) / "best", method, {})
    folder.log(rival="magnitude", seed=0, finished=True)
    return config.out


def predict(knee, run: Path, *more: object):
    return knee("predict", run, run.parent / "new.h5", "--out", run.parent / "out", "--rival", "magnitude", *more)


def test_a_good_volume_is_predicted(knee, run: Path, fastmri_file: ModuleType) -> None:
    fastmri_file.write(run.parent / "new.h5")
    code, out, errors = predict(knee, run, "--json")
    assert (code, errors, json.loads(out)["volumes"]) == (0, [], 1)
    assert sorted(path.name for path in (run.parent / "out").iterdir()) == ["predictions.csv", "predictions.parquet"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_volume_is_not_predicted_and_nothing_is_written(
    knee, run: Path, fastmri_file: ModuleType, fault: str
) -> None:
    fastmri_file.write(run.parent / "new.h5")
    FAULTS[fault](run.parent / "new.h5", fastmri_file)
    refused(predict(knee, run), 3, "new.h5")
    assert not (run.parent / "out").exists()


def test_a_volume_that_is_not_there_is_not_predicted(knee, run: Path) -> None:
    refused(predict(knee, run), 3, "new.h5")


def test_damaged_weights_are_not_used(knee, run: Path, fastmri_file: ModuleType) -> None:
    fastmri_file.write(run.parent / "new.h5")
    weights = run / "experts" / "magnitude" / "0" / "best" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    refused(predict(knee, run), 4, "weights.safetensors: is damaged")
    assert not (run.parent / "out").exists()


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--rival", "i2m3"], 2, ["--rival i2m3 is unknown"]),
        (["--rival", "i2m2"], 4, ["i2m2", "no finished training"]),
        (["--seed", "7"], 4, ["magnitude/7/best", "holds no checkpoint"]),
        (["--modalities", "phase"], 2, ["no expert of magnitude can answer from phase"]),
        (["--modalities", "sound"], 2, ["--modalities sound is unknown"]),
        (["--device", "gpu"], 2, ["--device gpu"]),
    ],
)
def test_what_a_run_cannot_do_is_one_sentence(
    knee, run: Path, fastmri_file: ModuleType, more: list[str], code: int, words: list[str]
) -> None:
    fastmri_file.write(run.parent / "new.h5")
    refused(predict(knee, run, *more), code, *words)
    assert not (run.parent / "out").exists()


def test_an_evaluation_of_broken_predictions_is_one_sentence_and_writes_no_table(knee, run: Path) -> None:
    (run / "predictions" / "magnitude" / "0").mkdir(parents=True)
    for split in ("val", "test"):
        (run / "predictions" / "magnitude" / "0" / f"{split}.parquet").write_bytes(b"no table")
    refused(knee("evaluate", run), 3, "val.parquet: is no readable Parquet file")
    assert not (run / "evaluation.csv").exists()
