"""The command line: `knee-i2m2 VERB ...`. Verbs are functions, their signatures the options."""

from __future__ import annotations

import errno
import importlib
import inspect
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from knee_i2m2.errors import ConfigError, DataError, KneeError, suggestion

__all__ = ["COMMANDS", "VERBS", "main"]

VERBS: dict[str, tuple[str, str | dict[str, str]]] = {
    "demo": (
        "Run the main job on a phantom: volumes, all rivals, report; minutes on two CPU cores.",
        "recipes.demo:demo",
    ),
    "phantom": (
        "Write fastMRI-format knee volumes with a known answer, and their annotations.",
        "recipes.demo:phantom",
    ),
    "scenes": ("Write NLVR2-format picture pairs and sentences with a known answer.", "recipes.scenes:scenes"),
    "audit": (
        "Say what a fastMRI folder holds: volumes, patients, widths, labels, leaks, unreadable files.",
        "sources.fastmri.audit:audit",
    ),
    "prepare": (
        "Turn raw inputs into a prepared folder: knee FASTMRI, avmnist, or nlvr2 NLVR2.",
        {"knee": "recipes.knee:prepare", "avmnist": "recipes.avmnist:prepare", "nlvr2": "recipes.nlvr2_data:prepare"},
    ),
    "train": (
        "Train a task's rivals on prepared data: knee, avmnist or nlvr2.",
        {"knee": "recipes.knee:train", "avmnist": "recipes.avmnist:train", "nlvr2": "recipes.nlvr2:train"},
    ),
    "evaluate": (
        "Compute AUROC and what stands beside it, with clustered intervals, from a run's prediction files.",
        "recipes.evaluate:evaluate",
    ),
    "report": ("Write report.html, report.md, tables and figures of an evaluated run.", "recipes.evaluate:report"),
    "compare": (
        "Compare two or more runs on the same test samples: paired differences, on one page.",
        "recipes.compare:compare",
    ),
    "predict": ("Predict new data with a trained rival, log p averaged over its seeds.", "recipes.predict:predict"),
    "bench": (
        "Time data, a training step or statistics against their peers and the machine's limits.",
        {"data": "recipes.bench:data", "step": "recipes.bench:step", "statistics": "recipes.bench:statistics"},
    ),
}
"""Verb -> what it does, and its function, or one function for each task; a function's signature is its options."""

COMMANDS = {
    f"{verb} {task}".strip(): function
    for verb, (_, functions) in VERBS.items()
    for task, function in ({"": functions} if isinstance(functions, str) else functions).items()
}
"""Command -> module and function in the package."""

_ORIGINS = {
    "new": "{} new {}",
    "test": "{} {} of the run's test split",
    "val": "{} {} of the run's validation split, which chose its epochs",
    "train": "{} {} that the run was trained on: no evaluation",
    "unknown": "{} volumes of unknown patients, on whom the run may have been trained",
    "unrecorded": "{} {} of whom this older run does not say whether it was trained on them",
}
"""Where the patients or clusters of a prediction come from, in words."""

_JUDGED_BY = {"auroc": "AUROC", "accuracy": "accuracy"}
"""Key of a prediction's result -> the metric's title."""

_ENVIRONMENT = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG, errno.EIO}
"""Errors of the file system that are no bug of ours, and that the user can mend."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb and returns the exit code: 0 ok, 2 usage, 3 bad data, 4 bad checkpoint.

    A user's mistake ends in one sentence; a bug of ours shows its traceback.
    """
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except KneeError as error:
        print(f"knee-i2m2: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has ended
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
    if arguments[0] == "help":
        return _run([*arguments[1:], "--help"])
    if arguments[0] == "--version":
        print(importlib.import_module("knee_i2m2").__version__)
        return 0
    name = _known(arguments.pop(0), list(VERBS), "verb")
    tasks = [command.split()[1] for command in COMMANDS if command.startswith(f"{name} ")]
    if tasks and (not arguments or arguments[0] in ("-h", "--help")):
        print(f"{VERBS[name][0]}\n\n    knee-i2m2 {name} {{{','.join(tasks)}}} --help")
        return 0 if arguments else 2
    if tasks:
        name = f"{name} {_known(arguments.pop(0), tasks, 'task')}"
    try:
        return _call(name, arguments)
    except SystemExit as stop:  # --help and --print-config have printed
        return int(stop.code or 0)


def _call(command: str, arguments: list[str]) -> int:
    """Parses the arguments, calls the verb and prints its result."""
    from knee_i2m2.options import parse

    module, _, name = COMMANDS[command].partition(":")
    function = getattr(importlib.import_module(f"knee_i2m2.{module}"), name)
    positional, options, as_json = parse(f"knee-i2m2 {command}", function, arguments, VERBS)
    result = function(*positional, **options)
    about = {**dict(zip(inspect.signature(function).parameters, positional, strict=False)), **options}
    print(json.dumps(result, indent=2, default=str) if as_json else _text(command, result) + _closing(command, about))
    return 0


def _closing(command: str, given: dict[str, Any]) -> str:
    """Returns where a verb's folder lies, if its result does not say so, and the command that may follow."""
    values = {**given, **(vars(given["config"]) if "config" in given else {})}
    quoted = {name: shlex.quote(str(value)) for name, value in values.items()}
    written = f"written: {values['out']}\n" if command.startswith("prepare") else ""
    return f"\n{written}next: {_NEXT[command].format(**quoted)}" if command in _NEXT else ""


def _known(given: str, names: list[str], noun: str) -> str:
    if given in names:
        return given
    raise ConfigError(f"there is no {noun} {given}; {suggestion(given, names)}")


def _help() -> str:
    verbs = "\n".join(f"  {name:<10}{about}" for name, (about, _) in VERBS.items())
    about = "Products of experts over the magnitude and phase of raw knee MRI (I2M2)."
    more = "`knee-i2m2 VERB --help`, or `knee-i2m2 help VERB`, shows a verb's options; every verb has --json."
    return f"usage: knee-i2m2 VERB ...\n\n{about}\n\n{verbs}\n\n{more}"


_NEXT = {
    "demo": "open {out}/report.html in a browser",
    "phantom": "knee-i2m2 prepare knee {out} --annotations {out}/knee.csv --out DATA",
    "scenes": "knee-i2m2 prepare nlvr2 {out} --out DATA --config nlvr2_scenes.yaml",
    "audit": "knee-i2m2 prepare knee {fastmri} --annotations {annotations} --out DATA",
    **{f"prepare {task}": f"knee-i2m2 train {task} --data {{out}} --out RUN" for task in ("knee", "avmnist", "nlvr2")},
    **{f"train {task}": "knee-i2m2 evaluate {out}" for task in ("knee", "avmnist", "nlvr2")},
    "evaluate": "knee-i2m2 report {run}",
    "report": "open {run}/report.html in a browser",
    "compare": "open {out}/compare.html in a browser",
    "predict": "read {out}/predictions.csv; of volumes, --annotations puts the truth beside the answers",
}
"""Command -> what may follow it."""

_COUNTS = {
    "left_out": "left out",
    "passed_over": "passed over",
    "placeholders": "like placeholders, but kept",
    "cut": "sentences cut at --longest",
}
"""Counts in a verb's result, each by reason or split -> their title."""


def _text(name: str, result: dict[str, Any]) -> str:
    """Returns a verb's result for a person."""
    if name == "audit":
        from knee_i2m2.sources.fastmri.audit import describe

        return describe(result)
    if name.startswith("prepare"):
        from knee_i2m2.data.classes import class_sentences

        parts = [f"{split}: {_counted(counts)}" for split, counts in result["counts"].items()]
        parts += class_sentences(result.get("class_clusters", {}))
        return "\n".join([*parts, _text("", result)])
    if name.startswith("bench"):
        from knee_i2m2.report.console import bench_table

        return bench_table(result["rows"]) + "\n" + _text("", result)
    if name == "predict":
        return "\n".join([_text("", result), *_scores(result)])
    if name in ("evaluate", "demo"):
        import pandas as pd

        from knee_i2m2.report.console import headline_table, verdict_lines
        from knee_i2m2.report.elements.words import with_noun

        tables = (with_noun(pd.DataFrame(result[table]), result.get("task")) for table in ("evaluation", "effects"))
        evaluation, effects = (table.where(table.notna(), float("nan")) for table in tables)  # null is not estimable
        parts = (headline_table(evaluation), verdict_lines(effects), _text("", result))
        return "\n\n".join(part for part in parts if part)
    plain = {key: value for key, value in result.items() if value is not None and not isinstance(value, dict | list)}
    counts = {title: result.get(name) for name, title in _COUNTS.items()}
    notes = [f"{title}: {n} {why}" for title, reasons in counts.items() for why, n in (reasons or {}).items()]
    notes += result.get("notes", ())
    notes += [f"warning: {n} volumes: {kind} (warnings.csv)" for kind, n in (result.get("warnings") or {}).items()]
    return "\n".join([*notes, *(f"{key}: {value}" for key, value in plain.items())])


def _scores(result: dict[str, Any]) -> Iterator[str]:
    """Yields a line for every origin of samples of a prediction, and for every target where its truth is known."""
    from knee_i2m2.report.elements.words import interval, number

    noun = "patients" if "patients" in result else "clusters"
    metric = next((metric for metric in _JUDGED_BY if metric in result), "")
    for origin, n in result[noun].items():
        whose, scores = _ORIGINS[origin].format(n, noun), result.get(metric, {}).get(origin, {})
        values = {target: f"{number(s[0])} {interval(*s[1:]) or '(no interval)'}" for target, s in scores.items()}
        yield from [f"{whose}: {_JUDGED_BY[metric]} of {target} {v}" for target, v in values.items()] or [whose]


def _counted(counts: dict[str, Any]) -> str:
    """Returns `640 samples, 80 series, 40 clusters, positives: acl 190, ...`."""
    numbers = [f"{n} {noun}" for noun, n in counts.items() if not isinstance(n, dict)]
    positives = ", ".join(f"{target} {n}" for target, n in counts.get("positives", {}).items())
    return ", ".join(numbers) + (f"; positive: {positives}" if positives else "")
