r"""Functional entropy: the joint answer must depend on every modality.

With n noisy copies :math:`\tilde x_m = x_m + \epsilon\, \mathrm{std}(x_m)` and
:math:`F = \mathrm{BCE}(f(\tilde x), \mathrm{softmax} f(x))`, the mean over copies and answers:

.. math:: I_m = \frac{1}{F} \operatorname{mean}_i \lVert \partial F / \partial \tilde x_{m,i} \rVert^2, \quad
    L = \mathrm{CE} + \lambda \lVert (1/I_1, \dots, 1/I_M) \rVert_2

Removing Bias in Multi-modal Classifiers: Regularization by Maximizing Functional Entropies (Gat et al., NeurIPS 2020).
As in its code the deviation is that of the repeated batch, and lambda depends on the batch's size. Unlike there, I is
at least 1e-12, so that a modality without any influence has a finite loss, and noisy copies are normalised by the
running statistics of batch normalisation, which they leave as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from knee_i2m2.errors import ConfigError
from knee_i2m2.methods.likelihood import Likelihood
from knee_i2m2.methods.method import joint_alone
from knee_i2m2.types import Modalities

__all__ = ["FunctionalEntropy", "information"]


def information(entropy: Float[Tensor, ""], inputs: Mapping[str, Tensor]) -> Float[Tensor, " modalities"]:
    r"""Returns :math:`I_m` of every modality, which can be differentiated again.

    Args:
        entropy: F.
        inputs: Modality -> the noisy copies that F was made from.
    """
    gradients = torch.autograd.grad(entropy, list(inputs.values()), create_graph=True)
    return torch.stack([g.flatten(1).square().sum(dim=1).mean() for g in gradients]) / entropy


class FunctionalEntropy(Likelihood):
    """Adds the regulariser to the likelihood of the joint expert."""

    combiner = "joint"
    own_experts = staticmethod(joint_alone)
    copies, strength = 10, 1e-10

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the cross-entropy and, where gradients are taken, the regulariser.

        Raises:
            ConfigError: A modality is no number that noise could be added to.
        """
        logits = self._logits(x)
        likelihood = {"likelihood": self.loss_of(logits, y)}
        if not torch.is_grad_enabled():
            return likelihood
        (seen,) = self.experts.sees.values()
        noisy = {name: _noisy(name, values, self.copies) for name, values in x.items() if name in seen}
        wanted = logits.softmax(dim=-1).repeat_interleave(self.copies, dim=0)
        with _unlearning(self.experts):
            entropy = functional.binary_cross_entropy_with_logits(self._logits(noisy), wanted)
        regulariser = information(entropy, noisy).clamp(min=1e-12).reciprocal().norm()
        return likelihood | {"regulariser": self.strength * regulariser}

    def _logits(self, x: Modalities) -> Tensor:
        (logits,) = self.opinions(x).values()
        return logits


@contextmanager
def _unlearning(module: nn.Module) -> Iterator[None]:
    """Normalises by running statistics, and leaves them as they are."""
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.training]
    for norm in norms:
        norm.eval()
    yield
    for norm in norms:
        norm.train()


def _noisy(name: str, values: Tensor, copies: int) -> Tensor:
    """Returns copies of every sample, one after the other, with noise."""
    if not values.is_floating_point():
        raise ConfigError(f"functional_entropy adds noise to the modalities, and {name} is no measured number")
    repeated = values.repeat_interleave(copies, dim=0)
    deviation = repeated.std(dim=0, keepdim=True)
    return (repeated + torch.randn_like(repeated) * deviation).detach().requires_grad_()
