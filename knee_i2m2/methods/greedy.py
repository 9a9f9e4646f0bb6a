r"""Greedy learner: modalities meet in gates, and the one that learns from the other too fast loses sight of it.

Gates after the encoders: :math:`g_m = \sigma(V_m \mathrm{relu}(W [z_1; \dots; z_M]))`, :math:`s_m = h_m(g_m z_m)`;
the answer is the mean of the :math:`s_m`, the loss the sum of their cross-entropies. In regular steps

.. math:: \mu(\theta) = \lVert \nabla \theta \rVert^2 / \lVert \theta \rVert^2, \quad
    S_m = \log_{10} \frac{\sum \mu(\theta'_m)}{\sum \mu(\theta_m)}

add up over :math:`\theta_m`, encoder and head, and :math:`\theta'_m`, the gate with W. From the second epoch on, where
the :math:`S_m` differ by more than eps, the gate of the modality with the largest is for Q steps its running mean,
which includes the present batch.

Characterizing and Overcoming the Greedy Nature of Learning in Multi-modal Deep Neural Networks (Wu et al., ICML 2022).
A reconstruction in one point: there the gates (MMTM) sit between the stages of two networks, here behind the encoders
of any number. The running mean is each modality's own and moves in regular steps only, where in the official code it is
that of the first for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from knee_i2m2.methods.method import Mean, Method, full_precision
from knee_i2m2.types import Modalities, Opinions

__all__ = ["Greedy", "caring", "learning_speed"]


def learning_speed(parameters: Iterable[Tensor]) -> Float[Tensor, ""]:
    r"""Returns :math:`\mu`: the squared norm of all gradients over that of all parameters."""
    held = [p for p in parameters if p.grad is not None]
    return sum(p.grad.square().sum() for p in held) / sum(p.detach().square().sum() for p in held).clamp(min=1e-30)


def caring(main: Float[Tensor, " modalities"], bypass: Float[Tensor, " modalities"], eps: float) -> int:
    """Returns the modality whose gate is to become its running mean, -1 for none."""
    speeds = (bypass / main).log10()
    return int(speeds.argmax()) if float(speeds.max() - speeds.min()) > eps else -1


class Greedy(Method):
    """Balances how fast each modality learns from itself and from the others."""

    shared = encoder_per_modality = True
    own_experts = staticmethod(tuple)
    eps, balanced_steps = 0.01, 5
    speeds: Tensor
    means: Tensor
    counts: Tensor

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.names = tuple(self.experts.sees)
        self.widths = [self.experts.head(name).widths[0] for name in self.names]
        self.squeeze = nn.Linear(sum(self.widths), max(1, sum(self.widths) // 2))  # MMTM: 2 / ratio of 4
        self.gates = nn.ModuleList(nn.Linear(self.squeeze.out_features, width) for width in self.widths)
        self.register_buffer("speeds", torch.zeros(2, len(self.names)))  # of main branches, and of gates
        self.register_buffer("means", torch.full((sum(self.widths),), 0.5))
        self.register_buffer(
            "counts", torch.tensor([0, 0, -1, 0])
        )  # epochs, regular steps, caring, steps that are left
        self.batch_means: list[Tensor] = []

    def opinions(self, x: Modalities) -> Opinions:
        """Returns every modality's share of the mean of logits."""
        able = self.experts.able(x)
        features = {name: z.flatten(1) for name, z in self.experts.features(x, able).items()}
        gates = self._gates(features)
        opinions = {name: full_precision(self.experts.head(name)(gates[name] * z)) for name, z in features.items()}
        return {name: logits / len(opinions) for name, logits in opinions.items()}

    def _gates(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the gates of the modalities that are there; their running means if one is missing."""
        if len(features) < len(self.names):
            fixed = dict(zip(self.names, self.means.split(self.widths), strict=True))
            return {name: fixed[name] for name in features}
        squeezed = self.squeeze(torch.cat([features[name] for name in self.names], dim=1)).relu()
        gates = [gate(squeezed).sigmoid() for gate in self.gates]
        batch = torch.cat([gate.detach().mean(dim=0) for gate in gates])
        if self.training and self.counts[3]:
            cared = int(self.counts[2])
            constant = self._moved(batch).split(self.widths)[cared]
            gates[cared] = constant + 0 * gates[cared]  # processes wait for the gradient of every parameter
        elif self.training and torch.is_grad_enabled():
            self.batch_means.append(batch)
        return dict(zip(self.names, gates, strict=True))

    def _moved(self, batch: Float[Tensor, " values"]) -> Float[Tensor, " values"]:
        """Returns the running means with one step more."""
        return (self.means * self.counts[1] + batch.to(self.means)) / (self.counts[1] + 1)

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the cross-entropy of each modality's logits."""
        opinions = self.opinions(x)
        return {name: self.loss_of(len(opinions) * z, y) for name, z in opinions.items()}

    def modulate(self, mean: Mean, generator: torch.Generator) -> None:
        """Counts a step; a regular one adds to the speeds, and may begin the balanced ones."""
        if self.counts[3]:
            self.counts[3] -= 1
            return
        if self.batch_means:
            batch, self.batch_means = mean(torch.stack(self.batch_means).to(self.means).mean(dim=0)), []
            self.means.copy_(self._moved(batch))
            self.counts[1] += 1
        self.speeds += torch.stack([torch.stack(list(map(learning_speed, part))) for part in self._parts()])
        modality = caring(*self.speeds, self.eps) if self.counts[0] and len(self.names) > 1 else -1
        if modality >= 0:
            self.counts[2], self.counts[3] = modality, self.balanced_steps

    def _parts(self) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """Returns the parameters of every main branch, and of every gate."""
        encoders = self.experts.encoders
        main = [[*encoders[name].parameters(), *self.experts.head(name).parameters()] for name in self.names]
        return main, [[*self.squeeze.parameters(), *gate.parameters()] for gate in self.gates]

    def after_epoch(self, epoch: int, train: Mapping[str, float], valid: Mapping[str, float]) -> None:
        """Counts epochs: decisions begin in the second."""
        self.counts[0] = epoch + 1
