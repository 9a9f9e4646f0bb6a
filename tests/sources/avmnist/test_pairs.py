"""The planted interaction is what it says, and without it AV-MNIST is as before to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knee_i2m2.errors import ConfigError
from knee_i2m2.sources.avmnist import PrepareAVMNIST, prepare_avmnist
from knee_i2m2.sources.avmnist.digits import mnist_files, read_digits
from knee_i2m2.sources.avmnist.pairs import draw_pairs
from knee_i2m2.sources.avmnist.sounds import read_noises, read_recordings
from pipelines.studies.interaction import joint_probability
from tests.sources.avmnist.test_prepare import REAL, Inputs, assert_disjoint, real, write_inputs

STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
FEW = {"train": 60, "val": 3, "test": 12}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


def drawn(inputs: Inputs, interaction: float, sizes: dict[str, int], seed: int = 3) -> pd.DataFrame:
    recordings, noises = read_recordings(inputs.fsdd), read_noises(inputs.noise)
    return draw_pairs(
        read_digits(mnist_files(inputs.mnist)), recordings, noises, sizes, (-10.0, 5.0), seed, interaction
    )


@pytest.mark.parametrize("rho", STRENGTHS)
def test_reading_perfectly_both_tell_all_and_the_sum_of_what_each_tells_misses_half_of_the_xor_pairs(
    rho: float,
) -> None:
    p = joint_probability(rho)
    assert p.sum() == pytest.approx(1)
    assert np.allclose(p.sum(axis=(1, 2)), 0.1)
    assert p.max(axis=0).sum() == pytest.approx(1)  # Bayes, from both
    of_image, of_audio = p.sum(axis=2), p.sum(axis=1)
    tiny = 1e-9
    additive = np.log(of_image[:, :, None] + tiny) + np.log(of_audio[:, None, :] + tiny)
    ties = additive >= additive.max(axis=0) - 1e-9
    assert (p * ties / ties.sum(axis=0)).sum() == pytest.approx(1 - rho / 2)


@pytest.mark.parametrize("rho", STRENGTHS)
def test_the_picture_tells_rho_ln_2_nats_that_the_sound_does_not(rho: float) -> None:
    p = joint_probability(rho)

    def entropy(table: np.ndarray) -> float:
        return float(-np.sum(table[table > 0] * np.log(table[table > 0])))

    conditional = entropy(p.sum(axis=1)) + entropy(p.sum(axis=0)) - entropy(p) - entropy(p.sum(axis=(0, 1)))
    assert conditional == pytest.approx(rho * np.log(2))


@pytest.mark.parametrize("rho", STRENGTHS[1:])
def test_pairs_show_and_say_what_the_table_tells(inputs: Inputs, rho: float) -> None:
    pairs = drawn(inputs, rho, FEW)
    assert_disjoint(pairs, inputs)
    assert (pairs["recording"].str[0].astype(int) == pairs["audio_digit"]).all()
    for split, digits in read_digits(mnist_files(inputs.mnist)).items():
        rows, labels = pairs[pairs["split"] == split], dict(zip(digits.rows, digits.labels, strict=True))
        assert [labels[row] for row in rows["digit_row"]] == list(rows["image_digit"])
    label, shown, said = (pairs[name].to_numpy() for name in ("label", "image_digit", "audio_digit"))
    assert (label // 2 == shown // 2).all() and (label // 2 == said // 2).all()
    xor = label // 2 < 5 * rho - 1e-9
    assert ((shown % 2) ^ (said % 2) == label % 2)[xor].all()
    assert (shown == label)[~xor].all() and (said == label)[~xor].all()
    assert (joint_probability(rho)[label, shown, said] > 0).all()


@real
def test_neither_digit_alone_tells_the_label_of_a_real_xor_pair() -> None:
    pairs = drawn(REAL, 1.0, {"train": 8000, "val": 100, "test": 100}).query("split == 'train'")
    for name in ("image_digit", "audio_digit"):
        agree = (pairs["label"] == pairs[name]).mean()
        assert abs(agree - 0.5) < 4 * 0.5 / 8000**0.5


def test_without_an_interaction_nothing_changes_by_a_bit(inputs: Inputs, tmp_path: Path) -> None:
    for name, options in (("plain", {}), ("zero", {"interaction": 0.0})):
        prepare_avmnist(PrepareAVMNIST(tmp_path / name, *inputs, **FEW, **options))
    for path in sorted((tmp_path / "plain").iterdir()):
        assert path.read_bytes() == (tmp_path / "zero" / path.name).read_bytes()


def test_the_strength_is_kept_in_the_settings_and_divides_nobody_into_subgroups(inputs: Inputs, tmp_path: Path) -> None:
    from knee_i2m2.data.prepared import described_by

    data = prepare_avmnist(PrepareAVMNIST(tmp_path / "data", *inputs, **FEW, interaction=0.4))
    assert data["settings"]["interaction"] == 0.4
    index = pd.read_parquet(tmp_path / "data" / "index.parquet")
    assert described_by(index, ["label"]) == ["sample", "series", "cluster"]


@pytest.mark.parametrize("rho", [0.3, -0.2, 1.2, 0.5, float("nan"), 5.0])
def test_a_strength_that_is_no_share_of_five_pairs_is_refused(inputs: Inputs, tmp_path: Path, rho: float) -> None:
    with pytest.raises(ConfigError, match=r"--interaction .* is no share of the five digit pairs"):
        prepare_avmnist(PrepareAVMNIST(tmp_path / "data", *inputs, **FEW, interaction=rho))
    assert not (tmp_path / "data" / "data.json").exists()


def test_more_pairs_than_twice_the_pictures_of_a_digit_are_refused(inputs: Inputs) -> None:
    with pytest.raises(ConfigError, match=r"--train 500 asks for \d+ pictures of a \d"):
        drawn(inputs, 1.0, {**FEW, "train": 500})


@real
def test_the_default_sizes_go_and_pictures_used_twice_are_counted(tmp_path: Path) -> None:
    pairs = drawn(REAL, 0.4, {"train": 20_000, "val": 2_500, "test": 3_000})
    twice = pairs.groupby("split").apply(lambda rows: rows.duplicated(["digit_file", "digit_row"]).sum())
    assert twice["train"] == twice["val"] == 0 < twice["test"] < 200
    splits = pairs.groupby(["digit_file", "digit_row"])["split"].nunique()
    assert (splits == 1).all()
    data = prepare_avmnist(PrepareAVMNIST(tmp_path, *REAL, train=50, val=20, test=3000, interaction=0.4))
    assert data["notes"] == [next(note for note in data["notes"] if note.startswith("test: "))]
