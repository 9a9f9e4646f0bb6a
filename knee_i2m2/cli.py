"""The command line: `knee-i2m2 VERB ...`. Verbs are functions, their signatures the options."""

from __future__ import annotations

import errno
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from knee_i2m2.errors import ConfigError, DataError, KneeError, suggestion

__all__ = ["FUNCTIONS", "RECIPES", "VERBS", "audit", "demo", "main", "report"]

RECIPES = {
    "phantom": ("demo", "PhantomOptions", "phantom"),
    "prepare knee": ("knee", "PrepareKnee", "prepare"),
    "prepare avmnist": ("avmnist", "PrepareAVMNIST", "prepare"),
    "prepare nlvr2": ("nlvr2_data", "PrepareNLVR2", "prepare"),
    "scenes": ("scenes", "ScenesOptions", "scenes"),
    "train knee": ("knee", "Knee", "train"),
    "train avmnist": ("avmnist", "AVMNIST", "train"),
    "train nlvr2": ("nlvr2", "NLVR2", "train"),
    "evaluate": ("evaluate", "EvaluateOptions", "evaluate"),
    "compare": ("compare", "CompareOptions", "compare"),
    "predict": ("knee_predict", "PredictOptions", "predict"),
    "bench data": ("bench", "BenchData", "data"),
    "bench step": ("bench", "BenchStep", "step"),
    "bench statistics": ("bench", "BenchStatistics", "statistics"),
}
"""Command -> module of `knee_i2m2.recipes`, the dataclass of its options, and the function that takes them."""


def demo(*, out: Path = Path("demo"), seed: int = 0) -> dict[str, Any]:
    """Run the main job on a phantom: volumes, all rivals, report; minutes on two CPU cores.

    Args:
        out: Run folder; the volumes go to OUT/phantom, the prepared data to OUT/data.
        seed: Makes the phantom; the training always has seed 0.
    """
    from knee_i2m2.recipes.demo import demo as run

    found, page = run(out, seed)
    tables = {"evaluation": _rows(found.evaluated), "effects": _rows(found.effects)}
    return {"run": str(out), "report": str(page), **tables}


def audit(
    fastmri: Path,
    /,
    *,
    annotations: Path,
    file_list: Path | None = None,
    abnormal: Literal["reference", "any"] = "reference",
    split: Literal["patient", "official", "volume"] = "patient",
    seed: int = 0,
) -> dict[str, Any]:
    """Say what a fastMRI folder holds: volumes, patients, widths, labels, leaks, unreadable files.

    Args:
        fastmri: Folder with .h5 files, or with singlecoil_train and singlecoil_val.
        annotations: fastMRI+'s knee.csv.
        file_list: Reviewed volumes; beside the CSV by default.
        abnormal: reference: any finding that is none of the other targets; any: any finding at all.
        split: The division whose leaks are looked for first.
        seed: Of the split.
    """
    from knee_i2m2.sources.fastmri.audit import audit as run

    return run(fastmri, annotations, file_list, abnormal, split, seed)


def report(run: Path, /) -> dict[str, Any]:
    """Write report.html, report.md, tables and figures of an evaluated run.

    Args:
        run: Run folder.
    """
    from knee_i2m2.report.page import write_report

    return {"report": str(write_report(run))}


FUNCTIONS: dict[str, Callable[..., dict[str, Any]]] = {verb.__name__: verb for verb in (demo, audit, report)}

VERBS = {
    "demo": "Run the main job on a phantom: volumes, all rivals, report; minutes on two CPU cores.",
    "phantom": "Write fastMRI-format knee volumes with a known answer, and their annotations.",
    "scenes": "Write NLVR2-format picture pairs and sentences with a known answer.",
    "audit": "Say what a fastMRI folder holds: volumes, patients, widths, labels, leaks, unreadable files.",
    "prepare": "Turn raw inputs into a prepared folder: knee FASTMRI, avmnist, or nlvr2 NLVR2.",
    "train": "Train a task's rivals on prepared data: knee, avmnist or nlvr2.",
    "evaluate": "Compute AUROC and what stands beside it, with clustered intervals, from a run's prediction files.",
    "report": "Write report.html, report.md, tables and figures of an evaluated run.",
    "compare": "Compare two or more runs on the same test samples: paired differences, on one page.",
    "predict": "Predict volumes with a trained rival, log p averaged over its seeds.",
    "bench": "Time data, a training step or statistics against their peers and the machine's limits.",
}
"""Verb -> what it does."""


_ENVIRONMENT = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG, errno.EIO}
"""What the file system refuses anywhere: no bug of ours, and the user's to mend."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb and returns the exit code: 0 ok, 2 usage, 3 bad data, 4 bad checkpoint.

    What a user can mend ends in one sentence; a bug of ours shows its traceback.
    """
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except KneeError as error:
        print(f"knee-i2m2: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stdout = None
        return 0
    except OSError as error:
        if error.filename is None or error.errno not in _ENVIRONMENT:
            raise
        print(f"knee-i2m2: {error.filename}: {error.strerror}; check the path and your rights", file=sys.stderr)
        return DataError.exit_code
    except KeyboardInterrupt:
        print("knee-i2m2: interrupted", file=sys.stderr)
        return 130


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(importlib.import_module("knee_i2m2").__version__)
        return 0
    name = _known(arguments.pop(0), list(VERBS), "verb")
    tasks = [recipe.split()[1] for recipe in RECIPES if recipe.startswith(f"{name} ")]
    if tasks and (not arguments or arguments[0] in ("-h", "--help")):
        print(f"{VERBS[name]}\n\n    knee-i2m2 {name} {{{','.join(tasks)}}} --help")
        return 0 if arguments else 2
    if tasks:
        name = f"{name} {_known(arguments.pop(0), tasks, 'task')}"
    try:
        return _call(name, arguments)
    except SystemExit as stop:  # --help and --print-config have printed
        return int(stop.code or 0)


def _call(name: str, arguments: list[str]) -> int:
    """Parses the arguments, calls the verb and prints its result."""
    from knee_i2m2.options import parse

    if name in RECIPES:
        module, config, function = RECIPES[name]
        pipeline = importlib.import_module(f"knee_i2m2.recipes.{module}")
        options = getattr(pipeline, config)
        values, chosen, as_json = parse(f"knee-i2m2 {name}", getattr(pipeline, function), arguments, options)
        result = getattr(pipeline, function)(*values, options(**chosen))
    else:
        values, chosen, as_json = parse(f"knee-i2m2 {name}", FUNCTIONS[name], arguments)
        result = FUNCTIONS[name](*values, **chosen)
    print(json.dumps(result, indent=2, default=str) if as_json else _text(name, result))
    return 0


def _known(given: str, names: list[str], noun: str) -> str:
    if given in names:
        return given
    raise ConfigError(f"there is no {noun} {given}; {suggestion(given, names)}")


def _help() -> str:
    verbs = "\n".join(f"  {name:<10}{about}" for name, about in VERBS.items())
    about = "Products of experts over the magnitude and phase of raw knee MRI (I2M2)."
    more = "`knee-i2m2 VERB --help` shows a verb's options; every verb has --json."
    return f"usage: knee-i2m2 VERB ...\n\n{about}\n\n{verbs}\n\n{more}"


def _rows(table: Any) -> list[dict[str, Any]]:
    """Returns a table's rows; what is not estimable is null."""
    return json.loads(table.to_json(orient="records"))


def _text(name: str, result: dict[str, Any]) -> str:
    """Returns a verb's result for a person."""
    if name == "audit":
        from knee_i2m2.sources.fastmri.audit import describe

        return describe(result)
    if name.startswith("prepare"):
        parts = [f"{split}: {_counted(counts)}" for split, counts in result["counts"].items()]
        left_out = [f"left out: {n} {why}" for why, n in result.get("left_out", {}).items()]
        return "\n".join([*parts, *left_out, _text("", result)])
    if name.startswith("bench"):
        from knee_i2m2.report.console import bench_table

        return bench_table(result["rows"]) + "\n" + _text("", result)
    if "auroc" in result:
        from knee_i2m2.report.elements.words import interval, number

        areas = [f"AUROC of {t}: {number(a[0])} {interval(*a[1:])}" for t, a in result["auroc"].items()]
        return "\n".join([_text("", {k: v for k, v in result.items() if k != "auroc"}), *areas])
    if name in ("evaluate", "demo"):
        import pandas as pd

        from knee_i2m2.report.console import headline_table, verdict_lines

        tables = (pd.DataFrame(result[table]) for table in ("evaluation", "effects"))
        evaluation, effects = (table.where(table.notna(), float("nan")) for table in tables)  # null is not estimable
        told = (headline_table(evaluation), verdict_lines(effects), *result.get("notes", ()), _text("", result))
        return "\n\n".join(part for part in told if part)
    said = {key: value for key, value in result.items() if value is not None and not isinstance(value, dict | list)}
    return "\n".join(f"{key}: {value}" for key, value in said.items())


def _counted(counts: dict[str, Any]) -> str:
    """Returns `640 samples, 80 series, 40 clusters, positives: acl 190, ...`."""
    numbers = [f"{n} {noun}" for noun, n in counts.items() if not isinstance(n, dict)]
    positives = ", ".join(f"{target} {n}" for target, n in counts.get("positives", {}).items())
    return ", ".join(numbers) + (f"; positive: {positives}" if positives else "")
