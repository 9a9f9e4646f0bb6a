import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax
from scipy.stats import entropy

from knee_i2m2 import predictions
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.evaluation.statistics.multiclass import consistency, mean_entropy
from tests.evaluation.runs import index, prediction_table

random = np.random.default_rng(0)
TRUTH = random.integers(2, size=120)
LOGP = log_softmax(random.standard_normal((120, 2)), axis=1)
SERIES = np.repeat(np.arange(40), 3)
WEIGHTS = np.repeat(random.integers(4, size=(40, 5)), 3, axis=0)


def test_entropy_is_that_of_scipy() -> None:
    looped = [np.average(entropy(np.exp(LOGP), axis=1), weights=w) for w in WEIGHTS.T]
    np.testing.assert_allclose(mean_entropy(LOGP, WEIGHTS), looped, rtol=1e-12)


def test_who_is_sure_has_no_entropy_and_who_guesses_the_most() -> None:
    sure, guess = np.array([[0.0, -np.inf]]), np.log([[0.5, 0.5]])
    assert mean_entropy(sure, np.ones((1, 1))).item() == 0
    assert mean_entropy(guess, np.ones((1, 1))).item() == pytest.approx(np.log(2))


def test_a_series_counts_once_and_only_if_all_of_it_is_right() -> None:
    right = LOGP.argmax(axis=1) == TRUTH
    whole = [right[s == SERIES].all() for s in range(40)]
    looped = [np.average(whole, weights=w) for w in WEIGHTS[::3].T]
    np.testing.assert_allclose(consistency(TRUTH, LOGP, SERIES, WEIGHTS), looped, rtol=1e-12)


def test_the_order_of_samples_and_unknown_ones_change_nothing() -> None:
    order = random.permutation(120)
    shuffled = consistency(TRUTH[order], LOGP[order], SERIES[order], WEIGHTS[order])
    np.testing.assert_allclose(shuffled, consistency(TRUTH, LOGP, SERIES, WEIGHTS), rtol=1e-12)
    more = [np.append(TRUTH, -1), np.vstack([LOGP, LOGP[:1]]), np.append(SERIES, 0), np.vstack([WEIGHTS, WEIGHTS[:1]])]
    np.testing.assert_allclose(consistency(*more), shuffled, rtol=1e-12)


def test_nothing_counted_is_not_estimable() -> None:
    nothing = np.zeros((120, 1))
    assert np.isnan(mean_entropy(LOGP, nothing)).all()
    assert np.isnan(consistency(TRUTH, LOGP, SERIES, nothing)).all()


def test_two_classes_that_are_a_choice_have_accuracy_consistency_and_entropy_and_no_area(tmp_path) -> None:
    for number, split in enumerate(("val", "test")):
        asked = index(split).drop(columns="position")
        truth = np.random.default_rng(number).integers(2, size=(len(asked), 1))
        said = prediction_table(asked, truth, ("magnitude",), np.random.default_rng(number), ("label",))
        predictions.write(said, tmp_path / "predictions/inter/0" / f"{split}.parquet")
    found = evaluate(tmp_path, replicates=20).results
    assert set(found["unit"]) == {"sample"}
    here = found.query("split == 'test' and seed == 'mean' and subgroup == 'all' and target == 'label'")
    of = here.set_index("metric")["value"]
    assert set(of.index) == {"accuracy", "consistency", "entropy"}
    right = said.assign(right=said[["logp_0", "logp_1"]].to_numpy().argmax(axis=1) == said["truth"])
    assert of["accuracy"] == pytest.approx(right["right"].mean())
    assert of["consistency"] == pytest.approx(right.groupby("series")["right"].all().mean())
    assert set(found["subgroup"]) == {"all", "sequence=PD", "sequence=PDFS"}
    assert pd.isna(here["positives"]).all()
