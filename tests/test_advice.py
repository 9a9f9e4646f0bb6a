"""Every option that a message names exists in the verbs that can say it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import get_type_hints

import pytest

import knee_i2m2
from knee_i2m2.cli import COMMANDS

PACKAGE = Path(knee_i2m2.__file__).parent
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")
GENERAL = {"json", "help", "config", "version", "print-config"}
FOREIGN = {"no-deps"}
"""Options of other programs that a message may name."""


def options_of(command: str) -> set[str]:
    """Returns the options of a command, as they are typed."""
    module, _, name = COMMANDS[command].partition(":")
    verb = getattr(import_module(f"knee_i2m2.{module}"), name)
    config = get_type_hints(verb).get("config")
    names = [f.name for f in fields(config)] if is_dataclass(config) else list(signature(verb).parameters)
    return {name.replace("_", "-") for name in names} | GENERAL


SPOKEN = {
    "sources/avmnist": ("prepare avmnist", "predict"),
    "sources/nlvr2": ("prepare nlvr2", "predict"),
    "sources/fastmri": ("prepare knee", "audit", "predict"),
    "sources/phantom": ("phantom", "demo"),
    "sources/scenes": ("scenes",),
    "recipes/avmnist.py": ("train avmnist", "prepare avmnist"),
    "recipes/nlvr2.py": ("train nlvr2",),
    "recipes/nlvr2_backbones.py": ("train nlvr2",),
    "recipes/nlvr2_data.py": ("prepare nlvr2",),
    "recipes/knee.py": ("train knee", "prepare knee"),
    "recipes/predict.py": ("predict",),
    "recipes/knee_predict.py": ("predict",),
    "recipes/scenes.py": ("scenes",),
    "recipes/compare.py": ("compare",),
    "experts/fiber": ("train nlvr2",),
    "experts/pairs": ("train nlvr2",),
    "evaluation": ("evaluate", "compare", "predict", "demo"),
}
"""Folder or file -> the verbs that raise its messages; of any other file, all."""


def verbs_of(file: Path) -> tuple[str, ...]:
    name = file.relative_to(PACKAGE).as_posix()
    return next(
        (verbs for place, verbs in SPOKEN.items() if name == place or name.startswith(f"{place}/")), (*COMMANDS,)
    )


def docstrings(tree: ast.AST) -> set[int]:
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, owners) and node.body]
    alone = [n.value for body in bodies for n in body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)]
    return {id(constant) for constant in alone}


def named_options(file: Path) -> Iterator[tuple[int, str]]:
    """Yields line and option of every message in a file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    explained = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in explained:
            yield from ((node.lineno, option.rstrip("-")) for option in OPTION.findall(node.value))


FILES = [file for file in sorted(PACKAGE.rglob("*.py")) if any(named_options(file))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_a_message_names_only_options_of_the_verbs_that_say_it(file: Path) -> None:
    known = set.union(*map(options_of, verbs_of(file)), FOREIGN)
    strange = [f"{file.name}:{line} --{option}" for line, option in named_options(file) if option not in known]
    assert not strange, strange


def test_the_scan_sees_options_and_would_notice_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text('"""--explained"""\nraise E(f"--splits {s}: give --quarantine-limit; --no-such")\n')
    assert [option for _, option in named_options(tmp_path / "x.py")] == ["splits", "quarantine-limit", "no-such"]
    assert {"splits", "quarantine-limit"} <= options_of("prepare nlvr2") and "no-such" not in options_of(
        "prepare nlvr2"
    )
    assert len(FILES) > 15
