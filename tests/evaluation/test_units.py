from dataclasses import replace

import numpy as np
from scipy.special import log_softmax

from knee_i2m2.evaluation.answers import Answers
from knee_i2m2.evaluation.units import most_suspicious, units, volume_truth
from tests.evaluation.runs import index


def slices(classes: int = 2) -> Answers:
    random = np.random.default_rng(0)
    who = index("test", patients=4).drop(columns="position")
    truth = random.integers(-1, 2, size=(len(who), 2))
    logp = log_softmax(random.standard_normal((len(who), 2, classes)), axis=-1)
    return Answers("sample", who, ("acl", "meniscus"), truth, {("i2m2", "0"): logp})


def test_a_volume_is_positive_if_any_slice_is_and_unknown_before_it_is_negative() -> None:
    truth = np.array([[0], [1], [-1], [0], [0], [-1], [0], [0]])
    series = np.array([0, 0, 0, 1, 1, 2, 2, 1])
    assert volume_truth(truth, series, 3).tolist() == [[1], [0], [-1]]


def test_a_volume_answers_as_its_most_suspicious_slice_in_whatever_order() -> None:
    answers = slices()
    logp = answers.logp["i2m2", "0"]
    series = np.unique(answers.who["series"], return_inverse=True)[1]
    shuffled = np.random.default_rng(1).permutation(len(series))
    volume = most_suspicious(logp[shuffled], series[shuffled], 8)
    log_odds = logp[..., 1] - logp[..., 0]
    brute = [[log_odds[series == v, t].max() for t in range(2)] for v in range(8)]
    np.testing.assert_array_equal(volume[..., 1] - volume[..., 0], brute)


def test_series_make_slices_and_volumes() -> None:
    slice_, volume = units(slices())
    assert (slice_.unit, volume.unit) == ("slice", "volume")
    assert len(volume.who) == 8
    assert volume.who.columns.tolist() == ["sample", "series", "cluster", "sequence"]
    assert volume.who["cluster"].nunique() == 4


def test_a_subgroup_that_changes_within_a_series_is_none_of_the_volume() -> None:
    answers = slices()
    mixed = replace(answers, who=answers.who.assign(sequence=np.arange(len(answers.who)) % 2))
    assert "sequence" not in units(mixed)[1].who


def test_without_series_there_are_samples() -> None:
    answers = slices()
    (only,) = units(replace(answers, who=answers.who.assign(series="-")))
    assert only.unit == "sample"


def test_many_classes_have_no_volumes() -> None:
    assert [unit.unit for unit in units(slices(classes=10))] == ["slice"]
