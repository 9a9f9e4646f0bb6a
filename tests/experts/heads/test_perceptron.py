"""A missing encoding is a row of zeros."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from knee_i2m2.experts.heads.perceptron import FilledHead, side_by_side


def test_a_missing_encoding_is_zero_and_the_others_keep_their_places() -> None:
    z = torch.randn(4, 2, 2)
    assert_close(
        side_by_side([None, z, None], [2, 4, 1]), torch.cat([torch.zeros(4, 2), z.flatten(1), torch.zeros(4, 1)], 1)
    )


def test_the_answer_is_a_perceptron_of_one_hidden_layer() -> None:
    head, z = FilledHead([3, 2], (2, 2), hidden=6), torch.randn(4, 3)
    first, _, last = head.perceptron
    hidden = (z @ first.weight[:, :3].T + first.bias).clamp(min=0)
    assert_close(head(z, None), (hidden @ last.weight.T + last.bias).view(4, 2, 2))
