r"""The ideal observer: the log-likelihood ratio of a target, from k-space whose making is known.

Acquired k-space is :math:`k = \mu(y, t) + n` with white complex Gaussian noise, of standard deviation :math:`\sigma`
in each component, so :math:`\log p(k \mid y, t) = -\|k - \mu(y, t)\|^2 / 2\sigma^2` up to a constant. The
observer knows the anatomy, the sites, the strengths and the other targets; the sign :math:`t` of the cartilage site
stays unknown:

.. math:: \lambda = \log \sum_t p(k \mid y_j = 1, y_{-j}, t) - \log \sum_t p(k \mid y_j = 0, y_{-j}, t)

For a target whose change is known and additive this is the matched filter: the means of the two classes of
:math:`\lambda` differ by :math:`\|\Delta\mu\|^2 / \sigma^2`. It is a loose ceiling: to everybody else the variation of
the anatomy is noise.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import logsumexp

from knee_i2m2.sources.phantom.lesions import Changes
from knee_i2m2.sources.phantom.scanner import Protocol, observe

__all__ = ["log_likelihood_ratios"]


def log_likelihood_ratios(kspace: torch.Tensor, changes: Changes, labels: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Returns one ratio per target, of shape (targets,).

    Args:
        kspace: A slice's k-space, complex128, of shape (rows, columns).
        changes: The slice as a function of its labels.
        labels: Its true labels, of shape (targets,); each target is scored given the others.
        protocol: How it was acquired.
    """
    given = _log_likelihood(kspace, changes, labels, protocol)
    ratios = np.empty(len(labels))
    for j, label in enumerate(labels):
        flipped = labels.copy()
        flipped[j] = 1 - label
        ratios[j] = (2 * label - 1) * (given - _log_likelihood(kspace, changes, flipped, protocol))
    return ratios


def _log_likelihood(kspace: torch.Tensor, changes: Changes, labels: np.ndarray, protocol: Protocol) -> float:
    """Returns the log-likelihood, summed over the unknown sign."""
    distances = [_distance(kspace, observe(changes.image(labels, sign), protocol)) for sign in (-1, 1)]
    return float(logsumexp([-d / (2 * protocol.noise**2) for d in distances]))


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.view_as_real(a - b).square().sum())
