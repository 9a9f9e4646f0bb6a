r"""Two modalities whose unique, redundant and synergistic evidence is known in closed form.

With :math:`y = \pm 1`, each modality m has three numbers: unique :math:`u_m \sim N(\alpha_m y, 1)`, redundant
:math:`r \sim N(\beta y, 1)`, the same number in both, and synergistic :math:`s_m \sim N(\gamma z_m, 1)`, where the fair
signs :math:`z_1 z_2 = y` tell nothing alone. The log-odds of y given both are

.. math:: 2 \alpha_1 u_1 + 2 \alpha_2 u_2 + 2 \beta r + 2 \operatorname{artanh}(\tanh(\gamma s_1) \tanh(\gamma s_2))

A product of experts on single modalities counts r twice, unless :math:`\beta = 0`, and has no use for the s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

__all__ = ["Drawn", "Gaussians"]


class Drawn(NamedTuple):
    """Samples and their log-odds.

    Attributes:
        x: `first` and `second`, each (samples, 3): unique, redundant, synergistic.
        y: 0 or 1.
        log_odds: Of 1 against 0, given all numbers.
    """

    x: dict[str, Float[np.ndarray, "samples 3"]]
    y: Int[np.ndarray, " samples"]
    log_odds: Float[np.ndarray, " samples"]


@dataclass(frozen=True)
class Gaussians:
    r"""How strong each kind of evidence is.

    Attributes:
        unique: :math:`\alpha_1` and :math:`\alpha_2`.
        redundant: :math:`\beta`.
        synergistic: :math:`\gamma`.
    """

    unique: tuple[float, float] = (0.5, 0.5)
    redundant: float = 0.0
    synergistic: float = 1.0

    def draw(self, samples: int, seed: int) -> Drawn:
        """Returns samples of both classes, equally likely."""
        random = np.random.default_rng(seed)
        y, z = random.choice([-1, 1], samples), random.choice([-1, 1], samples)
        redundant = random.normal(self.redundant * y)
        first, second = (
            np.stack([random.normal(alpha * y), redundant, random.normal(self.synergistic * sign)], axis=1)
            for alpha, sign in zip(self.unique, (z, z * y), strict=True)
        )
        return Drawn({"first": first, "second": second}, (y + 1) // 2, self.log_odds(first, second))

    def log_odds(
        self, first: Float[np.ndarray, "samples 3"], second: Float[np.ndarray, "samples 3"]
    ) -> Float[np.ndarray, " samples"]:
        """Returns the log-odds of class 1, given both modalities."""
        (u1, r, s1), (u2, _, s2) = first.T, second.T
        additive = self.unique[0] * u1 + self.unique[1] * u2 + self.redundant * r
        a, b = self.synergistic * s1, self.synergistic * s2
        # artanh(tanh a tanh b) = log(cosh(a + b) / cosh(a - b)) / 2, which no large a or b saturates
        return 2 * additive + np.logaddexp(a + b, -a - b) - np.logaddexp(a - b, b - a)
