"""A late-fusion Transformer without a modality is the same network without that token."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from knee_i2m2.experts.heads.late_transformer import TransformerHead

WIDTHS = (3, 5, 2)


def smaller(head: TransformerHead, kept: tuple[int, ...]) -> TransformerHead:
    """Returns a head that never had the other modalities, with this one's parameters."""
    small = TransformerHead([WIDTHS[n] for n in kept], head.answers).eval()
    small.projections = nn.ModuleList(head.projections[n] for n in kept)
    small.kinds = nn.Parameter(head.kinds[[*kept, -1]])
    small.transformer, small.linear = head.transformer, head.linear
    return small


@pytest.mark.parametrize("kept", [c for k in (1, 2, 3) for c in itertools.combinations(range(3), k)])
def test_a_missing_modality_has_no_token(kept: tuple[int, ...]) -> None:
    head, z = TransformerHead(WIDTHS, (2, 2)).eval(), [torch.randn(4, width) for width in WIDTHS]
    given = [values if n in kept else None for n, values in enumerate(z)]
    assert_close(head(*given), smaller(head, kept)(*(z[n] for n in kept)))


def test_the_order_of_tokens_is_nothing_and_their_modality_is_something() -> None:
    head, z = TransformerHead([3, 3], (2,)).eval(), torch.randn(4, 3)
    turned = TransformerHead([3, 3], (2,)).eval()
    turned.load_state_dict(head.state_dict())
    turned.projections = nn.ModuleList(reversed(head.projections))
    turned.kinds = nn.Parameter(head.kinds[[1, 0, 2]])
    other = torch.randn(4, 3)
    assert_close(turned(other, z), head(z, other))
    assert not torch.allclose(head(z, None), head(None, z))
