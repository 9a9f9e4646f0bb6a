"""Methods: what is minimised, and what is answered."""

from collections.abc import Mapping

from knee_i2m2.methods.gblend import GBlend
from knee_i2m2.methods.likelihood import Likelihood, SeparateLikelihoods
from knee_i2m2.methods.method import Method
from knee_i2m2.methods.mmpareto import MMPareto
from knee_i2m2.methods.ogm_ge import OGMGE
from knee_i2m2.methods.shallow_fusion import ShallowFusion

__all__ = ["METHODS"]

METHODS: Mapping[str, type[Method]] = {
    "likelihood": Likelihood,
    "separate_likelihoods": SeparateLikelihoods,
    "ogm_ge": OGMGE,
    "gblend": GBlend,
    "mmpareto": MMPareto,
    "shallow_fusion": ShallowFusion,
}
"""Name in a rival's identity -> method."""
