"""What lies in an archive and is no volume is counted with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knee_i2m2.cli import main
from knee_i2m2.errors import DataError
from knee_i2m2.sources.fastmri.audit import audit, describe
from knee_i2m2.sources.fastmri.folder import unused_files
from knee_i2m2.sources.fastmri.volumes import find_volumes, read_volume
from knee_i2m2.sources.phantom import Phantom, make_phantom

PASSED_OVER = {
    "a.h5.part": "unfinished",
    "a.h5.crdownload": "unfinished",
    "a.h5~": "copy or unfinished",
    "a.h5.1": "copy or unfinished",
    "a.H5": "other suffix",
    "a.hdf5": "other suffix",
    "singlecoil_val/a.HDF5": "other suffix",
    "a.h5.gz": "packed",
    "knee_singlecoil_train.tar.xz": "packed",
    ".a.h5": "hidden",
    "singlecoil_train/._a.h5": "hidden",
    "other/a.h5": "sub-folder",
    "singlecoil_train/more/a.h5": "sub-folder",
    "Singlecoil_Train/a.h5": "sub-folder",
    "multicoil_train/a.h5": "multi-coil",
    "__MACOSX/._a.h5": "hidden",
    "README": "no volume",
    "dataset_cache.pkl": "no volume",
    "a.h5x": "no volume",
}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("passed over") / "phantom"
    make_phantom(Phantom(volumes=12, slices=3, matrix=32, seed=3), out)
    return out


@pytest.mark.parametrize("name", PASSED_OVER)
def test_what_is_no_volume_is_passed_over_with_the_reason(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "volume.h5").touch()
    (tmp_path / name).touch()
    [(row, why, reason)] = unused_files(tmp_path)
    assert why == PASSED_OVER[name] and reason
    assert row in (name, str(Path(name).parent))
    assert [path.name for path in find_volumes(tmp_path)] == ["volume.h5"]
    if "folder" in why:
        assert "1 HDF5 files" in reason
    (tmp_path / "volume.h5").unlink()
    with pytest.raises(DataError, match=f"holds no .h5 file.*; passed over: 1 {why}"):
        find_volumes(tmp_path)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(names=st.sets(st.from_regex(r"[a-bA-B._~ ]{1,6}(\.h5|\.H5)?(\.part|\.gz)?", fullmatch=True), max_size=6))
def test_every_file_is_a_volume_or_passed_over_and_none_is_both(tmp_path_factory, names: set[str]) -> None:
    folder = tmp_path_factory.mktemp("any")
    names = {name for name in names if name not in (".", "..")}
    for name in [*names, "always.h5"]:
        (folder / name).touch()
    volumes = {path.name for path in find_volumes(folder)}
    others = {name for name, _, _ in unused_files(folder)}
    assert volumes | others == names | {"always.h5"} and not volumes & others


def test_a_phantom_holds_nothing_that_is_passed_over(phantom: Path) -> None:
    used = (phantom / "knee.csv", phantom / "knee_file_list.csv")
    assert unused_files(phantom, used) == []
    assert [name for name, _, _ in unused_files(phantom)] == ["knee.csv", "knee_file_list.csv"]


@pytest.fixture
def littered(phantom: Path, tmp_path: Path) -> Path:
    """The phantom's volumes with a download that was not finished and a hidden file."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for name in ("singlecoil_train", "singlecoil_val"):
        (folder / name).symlink_to(phantom / name)
    for name in ("file1.h5.part", "file2.h5.part", ".file3.h5"):
        (folder / name).touch()
    return folder


def test_audit_and_prepare_count_what_they_pass_over(phantom: Path, littered: Path, tmp_path: Path, capsys) -> None:
    findings = audit(littered, annotations=phantom / "knee.csv")
    assert [entry["file"] for entry in findings["passed_over"]] == [".file3.h5", "file1.h5.part", "file2.h5.part"]
    assert "passed over: 3\n  .file3.h5 (hidden): " in describe(findings)
    options = ["--annotations", str(phantom / "knee.csv"), "--out", str(littered / "data")]
    assert main(["prepare", "knee", str(littered), *options]) == 0
    closing = capsys.readouterr().out
    assert "passed over: 2 unfinished" in closing and "passed over: 1 hidden" in closing
    left_out = pd.read_csv(littered / "data" / "left_out.csv")
    assert left_out["volume"].tolist() == [".file3.h5", "file1.h5.part", "file2.h5.part"]
    data = json.loads((littered / "data" / "data.json").read_text())
    assert data["passed_over"] == {"hidden": 1, "unfinished": 2} and data["left_out"] == {}


@pytest.mark.parametrize("shape", [(3, 4, 16, 12), (1, 1, 16, 12), (2, 15, 16, 12)])
def test_a_multi_coil_file_is_called_so(tmp_path: Path, fastmri_file, shape: tuple[int, ...]) -> None:
    coils = fastmri_file.kspace(shape[0] * shape[1]).reshape(shape)
    path = fastmri_file.write(tmp_path / "a.h5", "bare", values=coils)
    with pytest.raises(DataError, match=r"a multi-coil file: kspace has 4 axes, not 3; give .* single-coil files"):
        read_volume(path)
