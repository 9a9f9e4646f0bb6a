from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

from knee_i2m2 import predictions
from knee_i2m2.errors import DataError
from knee_i2m2.types import Rival

TARGETS = ("acl", "meniscus")
random = np.random.default_rng(0)


def index(samples: int = 4) -> pd.DataFrame:
    numbers = np.arange(samples)
    return pd.DataFrame(
        {
            "sample": [f"s{n}" for n in numbers],
            "series": "v",
            "cluster": "p",
            "position": numbers / samples,
            "width": 368,
            "sequence": "PD",
        }
    )


def product(samples: int = 4, classes: int = 2) -> pd.DataFrame:
    opinions = {name: random.standard_normal((samples, 2, classes)) for name in ("magnitude", "magnitude+phase.2")}
    bias = random.standard_normal(classes)
    truth = random.integers(-1, classes, size=(samples, 2))
    logp = log_softmax(sum(opinions.values()) + bias, axis=-1)
    return predictions.table(
        index(samples), TARGETS, truth, logp, opinions, bias, Rival(tuple(opinions), warm=len(opinions) > 1)
    )


def test_a_table_asks_every_sample_about_every_target_in_order() -> None:
    table = product()
    assert table[["sample", "target"]].to_numpy().tolist() == [[f"s{n}", t] for n in range(4) for t in TARGETS]
    first = ["sample", "series", "cluster", "position", "width", "sequence", "target", "truth", "logp_0", "logp_1"]
    assert table.columns[: len(first)].tolist() == first


def test_a_table_tells_its_classes_experts_subgroups_and_logits() -> None:
    table = product(classes=11)
    assert predictions.classes(table) == 11
    assert predictions.experts(table) == ("magnitude", "magnitude+phase.2")
    assert predictions.subgroups(table) == ("width", "sequence")
    assert predictions.logits(table, "bias").shape == (8, 11)
    assert (predictions.logits(table, "magnitude")[:, 10] == table["logit_magnitude_10"]).all()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    table = product()
    predictions.write(table, tmp_path / "i2m2/0/test.parquet")
    pd.testing.assert_frame_equal(predictions.read(tmp_path / "i2m2/0/test.parquet"), table)
    assert [path.name for path in (tmp_path / "i2m2/0").iterdir()] == ["test.parquet"]


def test_the_combiner_is_kept_and_only_a_product_must_be_one(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    table = product()
    other = table.assign(logp_0=np.log(0.5), logp_1=np.log(0.5))
    other.attrs["identity"] |= {"combiner": "mean"}
    predictions.write(other, path)
    assert predictions.rival(predictions.read(path)).combiner == "mean"
    other.attrs["identity"] |= {"combiner": predictions.PRODUCT}
    with pytest.raises(DataError, match="not the product of its experts"):
        predictions.write(other, path)


BROKEN = {
    "has no column cluster": lambda f: f.drop(columns="cluster"),
    "has no column logit_magnitude_1": lambda f: f.drop(columns="logit_magnitude_1"),
    "holds no prediction": lambda f: f[:0],
    "rows without sample": lambda f: f.assign(series=None),
    "no finite numbers": lambda f: f.assign(logp_0=np.nan),
    "asks s0 about acl twice": lambda f: pd.concat([f, f[:1]]),
    "does not ask every sample about every target": lambda f: f[1:],
    "truths outside -1 to 1": lambda f: f.assign(truth=2),
    "do not sum to 1": lambda f: f.assign(logp_0=f["logp_0"] + 0.01),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_a_broken_table_is_neither_written_nor_read(tmp_path: Path, problem: str) -> None:
    broken = BROKEN[problem](product())
    with pytest.raises(DataError, match=problem):
        predictions.write(broken, tmp_path / "written.parquet")
    assert not list(tmp_path.iterdir())
    broken.to_parquet(tmp_path / "read.parquet")
    with pytest.raises(DataError, match=rf"read.parquet: .*{problem}"):
        predictions.read(tmp_path / "read.parquet")


def test_a_missing_or_foreign_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no prediction file"):
        predictions.read(tmp_path / "absent.parquet")
    (tmp_path / "foreign.parquet").write_bytes(b"not a table")
    with pytest.raises(DataError, match="is no readable Parquet file"):
        predictions.read(tmp_path / "foreign.parquet")


def test_a_truncated_file_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    predictions.write(product(), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="is no readable Parquet file"):
        predictions.read(path)
