"""The arrows of the design: who may import whom, and who may say what."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import knee_i2m2

PACKAGE = Path(knee_i2m2.__file__).parent
PIPELINES = PACKAGE.parent / "pipelines"
GENERATORS = {"sources/phantom": {"sources/fastmri"}, "sources/scenes": {"sources/nlvr2"}}
"""A generator writes the format that another wing reads, and takes its names and labels from there."""

ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "identity": set(),
    "clusters": set(),
    "types": set(),
    "files": set(),
    "options": set(),
    "predictions": set(),
    "data": set(),
    "sources": set(),
    **{f"sources/{wing}": {"data", "modalities"} for wing in ("fastmri", "phantom", "avmnist", "nlvr2", "scenes")},
    "modalities": set(),
    "experts": {"modalities"},
    "experts/fiber": {"experts", "modalities"},
    "experts/pairs": {"experts", "experts/fiber", "modalities"},
    "experts/heads": {"experts"},
    "fusion": set(),
    "methods": {"experts", "experts/heads", "fusion"},
    "training": {"data", "methods", "experts", "fusion", "predictions"},
    "evaluation/statistics": set(),
    "evaluation": {"evaluation/statistics", "predictions"},
    "report/elements": {"evaluation", "evaluation/statistics"},
    "report/tables": {"report/elements", "evaluation", "evaluation/statistics"},
    "report/figures": {"report/elements", "evaluation", "evaluation/statistics"},
    "report/single": {"report/elements", "evaluation", "evaluation/statistics", "modalities"},
    "report/paper": {f"report/{wing}" for wing in ("elements", "tables", "figures", "single")}
    | {"evaluation", "evaluation/statistics"},
    "report": {f"report/{wing}" for wing in ("elements", "tables", "figures", "single", "paper")}
    | {"evaluation", "evaluation/statistics", "predictions"},
}
"""Room -> the rooms that it may import, beside itself and what all may."""
JOINERS = {"", "__init__", "__main__", "cli", "recipes"}
FOR_ALL = {"errors", "types", "files", "identity", "clusters"}
OWNERS = {"h5py": {"sources"}, "monai": {"experts"}, "transformers": {"experts"}, "rich": {"report"}}
AGNOSTIC = {"fusion", "methods", "training", "evaluation/statistics", "evaluation", "data"}
SPECIFIC = re.compile(r"knee(?![-_]i2m2|Error)|k-?space|monai|h5py", re.IGNORECASE)


def room_of(file: Path, package: Path) -> str:
    """Returns the folder of a file inside the package; a file at the top is a room of its own."""
    parts = file.relative_to(package).parts
    return "/".join(parts[:-1]) or parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide an arrow"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_file(module: str, package: Path) -> Path:
    """Returns the file of the longest part of a dotted name that is a module of the package."""
    parts = module.split(".")[1:]
    for length in range(len(parts), 0, -1):
        path = package.joinpath(*parts[:length])
        if path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
        if path.is_dir():
            return path / "__init__.py"
    return package / "__init__.py"


def prints(tree: ast.AST) -> bool:
    return any(
        isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "print" for n in ast.walk(tree)
    )


def misses(room: str, module: str, package: Path) -> bool:
    """Whether a room must not import a module."""
    top, _, _ = module.partition(".")
    if top == "knee_i2m2":
        allowed = {room, *FOR_ALL, *ARROWS[room], *GENERATORS.get(room, ())}
        return room_of(module_file(module, PACKAGE), PACKAGE) not in allowed
    return top in OWNERS and room.split("/")[0] not in OWNERS[top]


def violations(package: Path) -> list[str]:
    """Returns what a package breaks, as sentences."""
    found = []
    for file in sorted(package.rglob("*.py")):
        room, text = room_of(file, package), file.read_text(encoding="utf-8")
        if room in JOINERS:
            continue
        tree, name = ast.parse(text), file.relative_to(package)
        found += [f"{name} imports {module}" for module in imports(tree) if misses(room, module, package)]
        found += [f"{name} prints"] * prints(tree)
        if room in AGNOSTIC:
            found += [f"{name} says {word}" for word in SPECIFIC.findall(text)]
    return found


def arrows(package: Path) -> dict[str, set[str]]:
    """Returns file -> the files of the package that it imports, and the same by folder."""
    found: dict[str, set[str]] = {}
    for file in sorted(package.rglob("*.py")):
        names = (m for m in imports(ast.parse(file.read_text(encoding="utf-8"))) if m.startswith("knee_i2m2"))
        found[str(file.relative_to(package))] = {str(module_file(m, package).relative_to(package)) for m in names}
    return found


def test_no_room_reaches_where_no_arrow_leads() -> None:
    assert violations(PACKAGE) == []


def test_every_room_of_the_package_has_its_arrows() -> None:
    assert {room_of(file, PACKAGE) for file in PACKAGE.rglob("*.py")} - JOINERS == set(ARROWS)


def test_no_file_and_no_folder_imports_itself_through_others() -> None:
    files = {name: targets - {name, "__init__.py"} for name, targets in arrows(PACKAGE).items()}
    folders: dict[str, set[str]] = {}
    for name, targets in files.items():
        here = room_of(PACKAGE / name, PACKAGE)
        folders.setdefault(here, set()).update({room_of(PACKAGE / t, PACKAGE) for t in targets} - {here})
    for graph in (files, folders):
        list(TopologicalSorter(graph).static_order())  # raises CycleError with the circle


def test_no_folder_holds_more_than_twenty_files() -> None:
    counts = {folder: sum(f.suffix == ".py" for f in folder.iterdir()) for folder in (PACKAGE, *PACKAGE.rglob("*/"))}
    assert {str(folder): n for folder, n in counts.items() if n > 20} == {}


@pytest.mark.parametrize(
    ("file", "line", "sentence"),
    [
        ("fusion/product.py", "import h5py", "imports h5py"),
        ("fusion/product.py", "from h5py import File", "imports h5py.File"),
        ("fusion/product.py", "def later():\n    import h5py", "imports h5py"),
        ("fusion/product.py", "from knee_i2m2.sources import fastmri", "imports knee_i2m2.sources.fastmri"),
        ("fusion/product.py", "from knee_i2m2 import sources", "imports knee_i2m2.sources"),
        ("experts/experts.py", "import knee_i2m2.fusion.product", "imports knee_i2m2.fusion.product"),
        ("training/fit.py", "from knee_i2m2.cli import main", "imports knee_i2m2.cli.main"),
        ("training/fit.py", "from knee_i2m2.recipes import knee", "imports knee_i2m2.recipes.knee"),
        ("training/fit.py", "from monai.networks import nets", "imports monai.networks.nets"),
        ("evaluation/statistics/auroc.py", "# of the knee", "says knee"),
        ("methods/method.py", '"""Works in k-space."""', "says k-space"),
        ("sources/fastmri/volumes.py", "print(1)", "prints"),
    ],
)
def test_the_check_sees_what_is_planted(tmp_path: Path, file: str, line: str, sentence: str) -> None:
    planted = tmp_path / "knee_i2m2" / file
    planted.parent.mkdir(parents=True)
    shutil.copy(PACKAGE / file, planted)
    before = violations(tmp_path / "knee_i2m2")
    planted.write_text(f"{planted.read_text()}\n{line}\n")
    assert f"{file} {sentence}" in set(violations(tmp_path / "knee_i2m2")) - set(before)


def test_the_name_of_the_package_and_of_its_errors_is_no_word_about_knees() -> None:
    assert not SPECIFIC.findall("from knee_i2m2.errors import KneeError; run `knee-i2m2 train` first")


def test_what_a_recipe_reads_and_writes_goes_through_the_stages() -> None:
    trees = {file.name: ast.parse(file.read_text()) for file in PIPELINES.glob("*.py")}
    assert [(name, m) for name, tree in trees.items() for m in imports(tree) if m.split(".")[0] in OWNERS] == []


HEAVY = ("torch", "monai", "pandas", "numpy", "h5py", "sklearn", "matplotlib", "scipy", "pyarrow", "lightning_fabric")


@pytest.mark.parametrize(
    "code",
    [
        "import knee_i2m2.cli",
        "import knee_i2m2.cli; assert knee_i2m2.cli.main(['--help']) == 0",
        "import knee_i2m2.cli; assert knee_i2m2.cli.main(['--version']) == 0",
        "import knee_i2m2.cli; assert knee_i2m2.cli.main(['train', '--help']) == 0",
        "import knee_i2m2.cli; assert knee_i2m2.cli.main(['tain']) == 2",
    ],
)
def test_nothing_heavy_is_imported_before_a_verb_needs_it(code: str) -> None:
    told = f"import sys\n{code}\nsys.stderr.write('loaded:' + ' '.join(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("loaded:")


def test_the_installed_command_says_its_verbs() -> None:
    command = Path(sys.executable).with_name("knee-i2m2")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    from knee_i2m2.cli import VERBS

    assert all(f"\n  {verb} " in done.stdout for verb in VERBS)
