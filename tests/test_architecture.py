"""The arrows of the design: who may import whom, and who may say what."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import knee_i2m2

PACKAGE = Path(knee_i2m2.__file__).parent
PIPELINES = PACKAGE.parent / "pipelines"

ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "types": set(),
    "files": set(),
    "options": set(),
    "sources": {"modalities"},  # the phantom's scanner and AV-MNIST's spectrograms use the pure tensor functions
    "modalities": set(),
    "experts": {"modalities"},
    "fusion": set(),
    "methods": {"experts", "fusion"},
    "training": {"methods", "experts", "fusion"},
    "predictions": set(),
    "evaluation": {"predictions"},
    "report": {"evaluation", "predictions"},
}
"""Stage -> the stages that it may import, beside itself and what all may."""
FOR_ALL = {"errors", "types", "files"}
OWNERS = {"h5py": {"sources"}, "monai": {"experts"}, "transformers": {"experts"}}
AGNOSTIC = {"fusion", "methods", "training", "evaluation"}
SPECIFIC = re.compile(r"knee(?![-_]i2m2|Error)|k-?space|monai|h5py", re.IGNORECASE)


def stage_of(file: Path, package: Path) -> str:
    return file.relative_to(package).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide an arrow"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def prints(tree: ast.AST) -> bool:
    return any(
        isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "print" for n in ast.walk(tree)
    )


def misses(stage: str, module: str) -> bool:
    """Whether a stage must not import a module."""
    top, _, rest = module.partition(".")
    if top == "knee_i2m2":
        return rest.split(".")[0] not in {stage, *FOR_ALL, *ARROWS[stage]}
    return top in OWNERS and stage not in OWNERS[top]


def violations(package: Path) -> list[str]:
    """Returns what a package breaks, as sentences."""
    found = []
    for file in sorted(package.rglob("*.py")):
        stage, text = stage_of(file, package), file.read_text(encoding="utf-8")
        if stage in ("__init__", "cli", "pipelines"):
            continue
        tree, name = ast.parse(text), file.relative_to(package)
        found += [f"{name} imports {module}" for module in imports(tree) if misses(stage, module)]
        found += [f"{name} prints"] * prints(tree)
        if stage in AGNOSTIC:
            found += [f"{name} says {word}" for word in SPECIFIC.findall(text)]
    return found


def test_no_stage_reaches_where_no_arrow_leads() -> None:
    assert violations(PACKAGE) == []


def test_every_stage_of_the_package_has_its_arrows() -> None:
    stages = {stage_of(file, PACKAGE) for file in PACKAGE.rglob("*.py")}
    assert stages - {"__init__", "cli", "pipelines"} == set(ARROWS)


@pytest.mark.parametrize(
    ("file", "line", "sentence"),
    [
        ("fusion/product.py", "import h5py", "imports h5py"),
        ("fusion/product.py", "from h5py import File", "imports h5py.File"),
        ("fusion/product.py", "def later():\n    import h5py", "imports h5py"),
        ("fusion/product.py", "from knee_i2m2.sources import fastmri", "imports knee_i2m2.sources.fastmri"),
        ("fusion/product.py", "from knee_i2m2 import sources", "imports knee_i2m2.sources"),
        ("experts/views.py", "import knee_i2m2.fusion.product", "imports knee_i2m2.fusion.product"),
        ("training/fit.py", "from knee_i2m2.cli import main", "imports knee_i2m2.cli.main"),
        ("training/fit.py", "from knee_i2m2.pipelines import knee", "imports knee_i2m2.pipelines.knee"),
        ("training/fit.py", "from monai.networks import nets", "imports monai.networks.nets"),
        ("evaluation/auroc.py", "# of the knee", "says knee"),
        ("methods/method.py", '"""Works in k-space."""', "says k-space"),
        ("sources/fastmri.py", "print(1)", "prints"),
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
