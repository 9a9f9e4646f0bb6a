"""A header, an attribute or an image that is not that of the k-space beside it is reported, or the file refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from knee_i2m2.errors import DataError
from knee_i2m2.recipes.knee import PrepareKnee, prepare
from knee_i2m2.sources.fastmri.audit import audit, describe
from knee_i2m2.sources.fastmri.stored_images import image_warnings
from knee_i2m2.sources.fastmri.volumes import find_volumes, read_volume
from knee_i2m2.sources.phantom import Phantom, make_phantom

ESC, RSS = "reconstruction_esc", "reconstruction_rss"


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("images") / "phantom"
    make_phantom(Phantom(volumes=12, slices=4, matrix=64, seed=3), out)
    return out


@pytest.fixture
def file(phantom: Path, tmp_path: Path) -> Path:
    """A copy of a volume that may be changed."""
    return shutil.copy(find_volumes(phantom)[0], tmp_path / "a.h5")


def put(path: Path, **datasets) -> None:
    with h5py.File(path, "a") as opened:
        for name, values in datasets.items():
            del opened[name]
            opened[name] = values


def values(path: Path, name: str) -> np.ndarray:
    with h5py.File(path) as opened:
        return opened[name][()]


@pytest.mark.parametrize("settings", [{}, {"matrix": 128, "seed": 9}, {"noise": 1.0}, {"slices": 1}, {"matrix": 16}])
def test_the_phantom_s_files_pass_every_check(tmp_path: Path, settings: dict) -> None:
    make_phantom(Phantom(**{"volumes": 4, "slices": 3, "matrix": 32} | settings), tmp_path / "phantom")
    for volume in map(read_volume, find_volumes(tmp_path / "phantom")):
        assert (volume.warnings, image_warnings(volume), volume.acceleration) == ({}, {}, 1)


CHANGES: dict[str, tuple[Callable[[str], str], str]] = {
    "rows of another": (lambda t: t.replace("<x>128</x>", "<x>160</x>", 1), "encoded matrix"),
    "columns of another": (lambda t: t.replace("<y>74</y>", "<y>80</y>", 1), "encoded matrix"),
    "limits of another": (lambda t: t.replace("<maximum>65<", "<maximum>40<"), "acquired columns"),
    "limits that leave the array": (lambda t: t.replace("<center>33<", "<center>50<"), "acquired columns"),
    "encoded view of another": (lambda t: t.replace("<x>280</x>", "<x>320</x>"), "field of view"),
    "image view of another": (lambda t: t.replace("<y>140</y>", "<y>180</y>"), "field of view"),
    "views exchanged": (lambda t: t.replace("<x>280</x>", "<x>1</x>").replace("<y>161", "<y>280"), "field of view"),
}


def _text(path: Path) -> str:
    return values(path, "ismrmrd_header").decode()


@pytest.mark.parametrize("case", CHANGES)
def test_a_header_of_another_file_is_reported(phantom: Path, tmp_path: Path, case: str) -> None:
    source = next(p for p in find_volumes(phantom) if read_volume(p).columns == 74)
    path = shutil.copy(source, tmp_path / "a.h5")
    change, kind = CHANGES[case]
    assert change(_text(path)) != _text(path)
    put(path, ismrmrd_header=change(_text(path)).encode())
    assert kind in read_volume(path).warnings


def test_a_header_without_these_numbers_is_not_checked(file: Path) -> None:
    text = _text(file).replace("fieldOfView_mm", "other").replace("encodedSpace", "other")
    put(file, ismrmrd_header=text.encode())
    assert read_volume(file).warnings == {}


IMPOSSIBLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "axes of k-space exchanged": (
        lambda path: put(path, kspace=values(path, "kspace").transpose(0, 2, 1)),
        "the axes of its k-space of .* are exchanged",
    ),
    "axes of the header exchanged": (
        lambda path: put(path, ismrmrd_header=_exchanged(path)),
        "the axes of its k-space of .* are exchanged",
    ),
    "a matrix that is a field of view": (
        lambda path: put(path, ismrmrd_header=_text(path).replace("<x>140</x><y>140</y>", "<x>64</x><y>64</y>")),
        "matrix of reconSpace is its field of view in mm",
    ),
    "a matrix that is not the image's": (
        lambda path: put(path, ismrmrd_header=_text(path).replace("<x>64</x><y>64</y>", "<x>60</x><y>60</y>", 1)),
        r"has the shape \(4, 64, 64\), its k-space and header give \(4, 60, 60\)",
    ),
    "image transposed": (lambda p: put(p, **{ESC: values(p, ESC).transpose(0, 2, 1)}), "slice 2 of kspace is transpo"),
    "image upside down": (lambda path: put(path, **{ESC: values(path, ESC)[:, ::-1]}), "kspace is upside down in"),
    "image mirrored": (lambda path: put(path, **{ESC: values(path, ESC)[..., ::-1]}), "kspace is mirrored in"),
    "image turned": (lambda p: put(p, **{ESC: np.rot90(values(p, ESC), axes=(1, 2))}), "is turned by 270 degrees in"),
    "image shifted": (lambda p: put(p, **{ESC: np.roll(values(p, ESC), 32, (1, 2))}), "shifted by half its size in"),
    "slices in another order": (lambda path: put(path, **{ESC: values(path, ESC)[::-1]}), "slice 2 of kspace is slice"),
    "image of fewer slices": (lambda path: put(path, **{ESC: values(path, ESC)[:3]}), r"has the shape \(3, 64, 64\)"),
    "image empty": (lambda path: put(path, **{ESC: 0 * values(path, ESC)}), "differ by 100 %"),
    "image not finite": (lambda path: put(path, **{ESC: np.nan * values(path, ESC)}), "differ by 100 %"),
}


def _exchanged(path: Path) -> str:
    text, columns = _text(path), read_volume(path).columns
    return text.replace(f"<x>128</x><y>{columns}</y>", f"<x>{columns}</x><y>128</y>", 1)


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_contradicts_k_space_is_refused_with_the_reason(file: Path, case: str) -> None:
    change, sentence = IMPOSSIBLE[case]
    change(file)
    with pytest.raises(DataError, match=sentence):
        image_warnings(read_volume(file))


def test_the_image_of_another_volume_is_refused(phantom: Path, file: Path) -> None:
    other = next(p for p in find_volumes(phantom)[2:] if read_volume(p).matrix == read_volume(file).matrix)
    put(file, **{ESC: values(other, ESC)})
    with pytest.raises(DataError, match="shows something else than its k-space"):
        image_warnings(read_volume(file))


def _attributes(**changed) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with h5py.File(path, "a") as opened:
            opened.attrs.update({name: factor * opened.attrs[name] for name, factor in changed.items()})

    return change


def _without(path: Path) -> None:
    with h5py.File(path, "a") as opened:
        del opened[ESC], opened[RSS]


DOUBTFUL: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "max of another": (_attributes(max=1.5), {"max"}),
    "norm of another": (_attributes(norm=0.9), {"norm"}),
    "both of another": (_attributes(max=2, norm=2), {"max", "norm"}),
    "k-space scaled": (lambda path: put(path, kspace=1e6 * values(path, "kspace")), {ESC}),
    "image filtered": (lambda p: put(p, **{ESC: values(p, ESC) * np.linspace(1, 1.1, 64, dtype="f4")}), {ESC}),
    "RSS upside down": (lambda path: put(path, **{RSS: values(path, RSS)[:, ::-1]}), {RSS}),
    "RSS transposed": (lambda path: put(path, **{RSS: values(path, RSS).transpose(0, 2, 1)}), {RSS}),
    "RSS of fewer slices": (lambda path: put(path, **{RSS: values(path, RSS)[:2]}), {RSS}),
    "RSS empty": (lambda path: put(path, **{RSS: 0 * values(path, RSS)}), {RSS}),
    "image of integers": (lambda path: put(path, **{ESC: values(path, ESC).astype("i4")}), {ESC}),
    "no image": (_without, {"no image"}),
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_what_may_be_right_is_a_warning(file: Path, case: str) -> None:
    change, kinds = DOUBTFUL[case]
    change(file)
    warnings = image_warnings(read_volume(file))
    assert kinds <= set(warnings) <= kinds | {"max", "norm"} and all(warnings.values())


def test_without_the_single_coil_s_image_the_other_one_decides(file: Path) -> None:
    with h5py.File(file, "a") as opened:
        del opened[ESC]
    assert set(image_warnings(read_volume(file))) <= {"max", "norm"}
    put(file, **{RSS: values(file, RSS).transpose(0, 2, 1)})
    with pytest.raises(DataError, match="kspace is transposed in reconstruction_rss"):
        image_warnings(read_volume(file))


def test_audit_deep_and_prepare_refuse_or_count_them(phantom: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    shutil.copytree(phantom, archive)
    (archive / "ideal.parquet").unlink()
    wrong, doubtful = find_volumes(archive)[:2]
    IMPOSSIBLE["image upside down"][0](wrong)
    DOUBTFUL["max of another"][0](doubtful)
    plain = audit(archive, annotations=archive / "knee.csv")
    assert (plain["volumes"], plain["warnings"]) == (12, {})
    deep = audit(archive, annotations=archive / "knee.csv", deep=True)
    assert [entry["file"] for entry in deep["unreadable"]] == [wrong.name]
    assert deep["warnings"]["max"]["volumes"] == 1
    assert f"warning: max: 1 volumes\n  {doubtful.stem}: its attribute max is" in describe(deep)
    options = PrepareKnee(annotations=archive / "knee.csv", out=tmp_path / "out")
    with pytest.raises(DataError, match="slice 2 of kspace is upside down in reconstruction_esc"):
        prepare(archive, options)
    options.on_error, options.quarantine_limit = "quarantine", 0.1
    made = prepare(archive, options)
    assert made["left_out"] == {"unusable": 1} and made["warnings"] == {"max": 1}
    assert pd.read_csv(tmp_path / "out" / "left_out.csv")["volume"].tolist() == [wrong.stem]
    assert pd.read_csv(tmp_path / "out" / "warnings.csv")["volume"].tolist() == [doubtful.stem]
