"""Methods: what is minimised, and what is answered."""

from collections.abc import Mapping

from knee_i2m2.methods.bogc_mml import BOGCMML
from knee_i2m2.methods.expert_losses import ExpertLosses, ExpertMasking, ExpertWeights, SharedTrunk
from knee_i2m2.methods.functional_entropy import FunctionalEntropy
from knee_i2m2.methods.gblend import GBlend
from knee_i2m2.methods.greedy import Greedy
from knee_i2m2.methods.i2moe import I2MoE
from knee_i2m2.methods.joint_heads import MDRNN, DeepFusion, LateTransformer, LowRankFusion
from knee_i2m2.methods.likelihood import Likelihood, SeparateLikelihoods
from knee_i2m2.methods.method import Method
from knee_i2m2.methods.mimo import MIMO
from knee_i2m2.methods.mmpareto import MMPareto
from knee_i2m2.methods.ogm_ge import OGMGE
from knee_i2m2.methods.reconboost import ReconBoost
from knee_i2m2.methods.rubi import RUBi
from knee_i2m2.methods.shallow_fusion import ShallowFusion
from knee_i2m2.methods.votes import MajorityVote, MeanOfExperts, MinCq

__all__ = ["METHODS"]

METHODS: Mapping[str, type[Method]] = {
    "likelihood": Likelihood,
    "separate_likelihoods": SeparateLikelihoods,
    "mean_of_experts": MeanOfExperts,
    "majority_vote": MajorityVote,
    "mincq": MinCq,
    "shallow_fusion": ShallowFusion,
    "deep_fusion": DeepFusion,
    "low_rank": LowRankFusion,
    "late_transformer": LateTransformer,
    "mdrnn": MDRNN,
    "ogm_ge": OGMGE,
    "gblend": GBlend,
    "mmpareto": MMPareto,
    "mimo": MIMO,
    "bogc_mml": BOGCMML,
    "greedy": Greedy,
    "rubi": RUBi,
    "functional_entropy": FunctionalEntropy,
    "reconboost": ReconBoost,
    "i2moe": I2MoE,
    "expert_losses": ExpertLosses,
    "expert_masking": ExpertMasking,
    "expert_weights": ExpertWeights,
    "shared_trunk": SharedTrunk,
}
"""Name in a rival's identity -> method."""
