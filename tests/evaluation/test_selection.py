import numpy as np
import pandas as pd
import pytest

from knee_i2m2.evaluation.selection import select_cases
from knee_i2m2.evaluation.split_answers import SplitAnswers


def answers(truth: list[list[int]], patients: list[str]) -> SplitAnswers:
    who = pd.DataFrame({"sample": range(len(patients)), "series": "-", "cluster": patients})
    targets = ("acl", "meniscus")[: len(truth[0])]
    logp = np.zeros((len(patients), len(targets), 2))
    return SplitAnswers("slice", who, targets, np.array(truth), {("i2m2", "0"): logp})


def test_the_falsest_come_first_and_then_what_is_right() -> None:
    asked = answers([[1], [0], [1], [0], [1], [0]], list("abcdef"))
    said = np.array([[-5.0], [3.0], [-1.0], [4.0], [2.0], [-9.0]])
    found = select_cases(asked, said, {"acl": 0.0}, 10)
    assert [(one.row, one.kind) for one in found] == [
        (0, "false negative"),
        (3, "false positive"),
        (2, "false negative"),
        (1, "false positive"),
        (4, "true positive"),
    ]


def test_what_is_false_depends_on_the_targets_threshold() -> None:
    asked = answers([[1], [0]], ["a", "b"])
    said = np.array([[-1.0], [-1.0]])
    assert [one.kind for one in select_cases(asked, said, {"acl": -2.0}, 9)] == ["false positive", "true positive"]
    assert [one.kind for one in select_cases(asked, said, {"acl": 0.0}, 9)] == ["false negative"]


def test_a_patient_is_shown_once_a_target_and_targets_take_turns() -> None:
    asked = answers([[0, 0], [0, 0], [0, 0]], ["a", "a", "b"])
    said = np.array([[1.0, 5.0], [2.0, 4.0], [0.5, 6.0]])
    found = select_cases(asked, said, {"acl": 0.0, "meniscus": 0.0}, 10)
    assert [(one.row, one.place) for one in found] == [(1, 0), (2, 1), (2, 0), (0, 1)]
    assert len(select_cases(asked, said, {"acl": 0.0, "meniscus": 0.0}, 3)) == 3


@pytest.mark.parametrize("number", [1, 2, 3, 50])
@pytest.mark.parametrize(
    ("truth", "patients", "right"),
    [
        ([[0], [0], [0], [1], [1]], "abcde", {(4, 0)}),  # errors fill the places
        ([[0], [0], [1], [0], [1]], "abcbb", {(2, 0), (4, 0)}),  # the patient of one true positive has an error
        ([[0], [1], [0], [1], [1]], "aabbb", {(4, 0)}),  # every such patient has one
        ([[0, 0], [0, 0], [0, 0], [0, 1], [0, 1]], "abcde", {(4, 1)}),  # of the first target there is none
        ([[0, 1], [0, 1], [0, 1], [0, 1], [1, 1]], "abcde", {(4, 0)}),  # that of the first target comes first
        ([[-1, 0], [0, 0], [0, 0], [1, -1], [0, 0]], "abcde", {(3, 0)}),
        ([[0], [0], [0], [0], [0]], "abcde", set()),
    ],
)
def test_however_few_a_true_positive_of_the_first_target_that_has_one_is_kept(truth, patients, right, number) -> None:
    asked = answers(truth, list(patients))
    said = np.tile(np.arange(1.0, 6.0)[:, None], (1, len(truth[0])))
    found = select_cases(asked, said, dict.fromkeys(asked.targets, 0.0), number)
    kept = [(one.row, one.place) for one in found if one.kind == "true positive"]
    assert len(found) <= number and bool(kept) == bool(right)
    assert not right or right & {*kept}
    assert len({(patients[one.row], one.place) for one in found}) == len(found)


def test_unknown_truths_and_targets_without_a_threshold_are_no_cases() -> None:
    asked = answers([[-1, 0], [-1, 0]], ["a", "b"])
    assert select_cases(asked, np.ones((2, 2)), {"acl": 0.0}, 10) == []
