"""Products of experts over the magnitude and phase of raw knee MRI (I2M2).

The front door: `import knee_i2m2 as ki`. A name is imported when it is used first.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from knee_i2m2.data.prepared import Prepared
    from knee_i2m2.data.samples import Samples
    from knee_i2m2.evaluation.evaluate import evaluate
    from knee_i2m2.evaluation.interaction_gain import interaction_gain
    from knee_i2m2.evaluation.statistics.accuracy import accuracy
    from knee_i2m2.evaluation.statistics.auroc import auroc
    from knee_i2m2.evaluation.statistics.bootstrap import clustered_interval
    from knee_i2m2.evaluation.statistics.student import paired_test
    from knee_i2m2.experts.experts import Separate
    from knee_i2m2.experts.shared import Shared
    from knee_i2m2.fusion.product import product_of_experts
    from knee_i2m2.methods import METHODS
    from knee_i2m2.methods.likelihood import Likelihood
    from knee_i2m2.modalities.magnitude_phase import modalities
    from knee_i2m2.predictions import read as read_predictions
    from knee_i2m2.recipes.knee import Knee, PrepareKnee
    from knee_i2m2.recipes.knee import prepare as prepare_knee
    from knee_i2m2.recipes.knee import train as train_knee
    from knee_i2m2.recipes.knee_trained import load
    from knee_i2m2.report.page import write_report as report
    from knee_i2m2.sources.fastmri.volumes import find_volumes, read_volume
    from knee_i2m2.sources.gaussians import Gaussians
    from knee_i2m2.sources.phantom.phantom import Phantom, make_phantom
    from knee_i2m2.training.learn import fit, predict, rival
    from knee_i2m2.training.residual import residuals
    from knee_i2m2.types import Rival

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads sleep: spinning, they took 9/10 of the CPU

__version__ = "0.1.0"

_HOMES = {
    "Knee": "recipes.knee",
    "Likelihood": "methods.likelihood",
    "METHODS": "methods",
    "Phantom": "sources.phantom.phantom",
    "PrepareKnee": "recipes.knee",
    "Rival": "types",
    "Samples": "data.samples",
    "Separate": "experts.experts",
    "Shared": "experts.shared",
    "accuracy": "evaluation.statistics.accuracy",
    "auroc": "evaluation.statistics.auroc",
    "clustered_interval": "evaluation.statistics.bootstrap",
    "evaluate": "evaluation.evaluate",
    "find_volumes": "sources.fastmri.volumes",
    "fit": "training.learn",
    "Gaussians": "sources.gaussians",
    "interaction_gain": "evaluation.interaction_gain",
    "load": "recipes.knee_trained",
    "make_phantom": "sources.phantom.phantom",
    "modalities": "modalities.magnitude_phase",
    "Prepared": "data.prepared",
    "paired_test": "evaluation.statistics.student",
    "predict": "training.learn",
    "prepare_knee": "recipes.knee:prepare",
    "product_of_experts": "fusion.product",
    "read_predictions": "predictions:read",
    "read_volume": "sources.fastmri.volumes",
    "report": "report.page:write_report",
    "residuals": "training.residual",
    "rival": "training.learn",
    "train_knee": "recipes.knee:train",
}
"""Name at the front door -> module, and the name that it has there if that is another."""

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, there = _HOMES[name].partition(":")
    return getattr(import_module(f"{__name__}.{module}"), there or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
