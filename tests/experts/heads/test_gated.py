"""Deep fusion's gates by hand."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from knee_i2m2.experts.heads.gated import GatedHead


def test_each_other_encoding_is_scaled_by_the_gate_that_it_opens_itself() -> None:
    head = GatedHead([2, 3, 1], (2, 2)).double()
    z = [torch.randn(5, width, dtype=torch.float64) for width in (2, 3, 1)]
    rows = []
    for n in range(5):
        gated = [z[0][n]]
        for values, gate in zip(z[1:], head.gates, strict=True):
            opening = 1 / (1 + torch.exp(-(gate.weight[0] @ values[n] + gate.bias[0])))
            gated.append(opening * values[n])
        rows.append(torch.cat(gated))
    first, _, last = head.perceptron
    hidden = (torch.stack(rows) @ first.weight.T + first.bias).clamp(min=0)
    assert_close(head(*z), (hidden @ last.weight.T + last.bias).view(5, 2, 2))


def test_a_closed_gate_leaves_the_first_encoding_alone() -> None:
    head, z = GatedHead([2, 3], (2,)), torch.randn(4, 2)
    with torch.no_grad():
        head.gates[0].weight.zero_()
        head.gates[0].bias.fill_(-200)
    assert_close(head(z, torch.randn(4, 3)), head(z, torch.randn(4, 3)), rtol=0, atol=0)


def test_no_gradient_reaches_the_encodings() -> None:
    head, z = GatedHead([2, 3], (2,)), [torch.randn(4, width, requires_grad=True) for width in (2, 3)]
    head(*z).sum().backward()
    assert [values.grad for values in z] == [None, None]
    assert all(p.grad is not None and p.grad.ne(0).any() for p in head.parameters())
