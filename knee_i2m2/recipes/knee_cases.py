"""Single cases of a run for the report: pictures, boxes, opinions of the experts, and saliency maps with their scores.

Written by `knee-i2m2 evaluate RUN --cases N`::

    RUN/cases/cases.json            the cases, and the scores of the saliency maps; written last
    RUN/cases/<id>_<what>.png       magnitude, phase, log k-space, and a map of every expert

The maps are those of the experts of one seed. They are scored on test slices with boxes, so many at most of each target
(`SCORED`): the pointing game beside the chance level and beside pointing at the mean centre of the training boxes, and
the likeness to maps of the same expert with random weights.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from knee_i2m2.data.parallel import counted
from knee_i2m2.data.prepared import Prepared, read_data
from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.evaluate import REFERENCE
from knee_i2m2.evaluation.run_answers import run_answers
from knee_i2m2.evaluation.selection import SelectedCase, select_cases
from knee_i2m2.evaluation.split_answers import SplitAnswers
from knee_i2m2.evaluation.statistics import localisation
from knee_i2m2.evaluation.statistics.bootstrap import Estimate
from knee_i2m2.evaluation.statistics.localisation import Box
from knee_i2m2.evaluation.thresholds import fit_thresholds
from knee_i2m2.experts.experts import Stacked
from knee_i2m2.experts.knee import knee_expert
from knee_i2m2.experts.saliency import saliency
from knee_i2m2.files import whole_folder
from knee_i2m2.methods.method import Method
from knee_i2m2.recipes.knee import Knee
from knee_i2m2.recipes.knee_predict import finished_seeds, restored, trained_as
from knee_i2m2.recipes.progress import progress
from knee_i2m2.report.single.pictures import kspace_picture, magnitude_picture, map_picture, phase_picture
from knee_i2m2.sources.fastmri import open_knee
from knee_i2m2.sources.fastmri.annotations import target_of
from knee_i2m2.training.runner import launch
from knee_i2m2.types import modalities_of

__all__ = ["SCORED", "write_cases"]

SCORED = 50
"""Slices with boxes that a target's maps are scored on, at most; drawn with seed 0."""

_BATCH = 16


def write_cases(run: Path, number: int, method: str = "gradient", device: str = "auto", rival: str = REFERENCE) -> Path:
    """Writes RUN/cases anew, and returns it.

    Args:
        run: Run folder of `train knee`, whose prepared data are still there.
        number: How many cases; false answers come first.
        method: A name in `experts.saliency.SALIENCY`.
        device: auto, cpu, cuda or one card such as cuda:0.
        rival: Whose cases.

    Raises:
        ConfigError: It is a run of another task or version.
        DataError: The prepared data are gone or have changed, or the run has no reference.
        CheckpointError: There is no checkpoint, or it is damaged.
    """
    source = _Source.open(run, device, rival)
    splits = run_answers(run)
    answers = splits.test[0].by(rival)
    fitted = fit_thresholds([splits.val[0].by(rival)])["slice"]
    thresholds = {
        target: float(np.mean([t.value for (_, asked), t in fitted.items() if asked == target]))
        for target in answers.targets
    }
    log_odds = np.mean([answers.log_odds(key) for key in answers.logp], axis=0)
    chosen = select_cases(answers, log_odds, {t: v for t, v in thresholds.items() if np.isfinite(v)}, number)
    asked = len(source.experts) * len(answers.targets)
    with progress() as bars:
        scores = list(counted("saliency scores", _scores(source, answers, method), asked, bars))
        with whole_folder(run / "cases") as folder:
            written = counted("cases", enumerate(chosen, start=1), len(chosen), bars)
            cases = [_case(source, answers, one, str(n), thresholds, method, folder) for n, one in written]
            about = {"unit": answers.unit, "rival": rival, "seeds": [source.seed], "matrix": source.test.matrix}
            content = {**about, "method": method, "cases": cases, "scores": scores}
            (folder / "cases.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
            shutil.rmtree(run / "cases", ignore_errors=True)  # those of an earlier evaluation
    return run / "cases"


@dataclass(frozen=True)
class _Source:
    """Where pictures and maps come from: the test samples, and the trained experts of one seed."""

    test: Prepared
    train: Prepared
    config: Knee
    method: Method
    seed: int
    device: torch.device

    @classmethod
    def open(cls, run: Path, device: str, rival: str) -> _Source:
        """Opens the prepared data that the run was trained on, and its first seed."""
        config, data = trained_as(run), read_data(run)
        if not (config.data / "data.json").is_file() or read_data(config.data) != data:
            reason = "is gone, or was prepared anew since the run was trained on it"
            raise DataError(config.data, reason, "bring it back, or evaluate without --cases")
        seed, where = finished_seeds(run, rival)[0], launch(device).device
        method = restored(run, config, rival, seed, data, where).eval()
        return cls(open_knee(config.data, "test"), open_knee(config.data, "train"), config, method, seed, where)

    @property
    def experts(self) -> dict[str, Stacked]:
        """The trained experts that see images."""
        names = [name for name in self.method.experts.sees if "position" not in modalities_of(name)]
        return {name: self.method.experts.network(name) for name in names}

    def fresh(self, name: str) -> Stacked:
        """Returns an expert with weights drawn anew."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + 1)
            expert = knee_expert(name, self.test.task.answers, self.test.matrix, self.config.network, self.config.phase)
        return expert.to(self.device).eval()

    def maps(
        self, expert: Stacked, rows: Sequence[int], place: int, method: str
    ) -> Float[np.ndarray, "n rows columns"]:
        """Returns saliency maps of test samples."""
        parts = [list(rows[start : start + _BATCH]) for start in range(0, len(rows), _BATCH)]
        batches = ({name: x.to(self.device) for name, x in self.test[part].x.items()} for part in parts)
        return np.concatenate([saliency(expert, x, place, method).detach().cpu().numpy() for x in batches])


def _boxes(samples: Prepared, row: int) -> list[dict[str, Any]]:
    """Returns a sample's boxes, in pixels of the image, with the target that each belongs to."""
    boxes = samples.index["boxes"].iloc[row]
    return [{**box, "target": target_of(box["label"])} for box in boxes]


def _of(samples: Prepared, row: int, target: str) -> list[Box]:
    """Returns the boxes of a sample that belong to a target."""
    sides = ("x", "y", "width", "height")
    return [Box(*(float(box[s]) for s in sides)) for box in _boxes(samples, row) if box["target"] == target]


def _scores(source: _Source, answers: SplitAnswers, method: str) -> Iterator[dict[str, Any]]:
    """Yields the scores of every expert's maps for every target."""
    for place, target in enumerate(answers.targets):
        rows, boxes = _boxed(source.test, target, SCORED)
        trained = [box for row in _boxed(source.train, target)[0] for box in _of(source.train, row, target)]
        for name, expert in source.experts.items():
            about = {"expert": name, "target": target, "method": method, "slices": len(rows)}
            if not rows or not trained:
                yield about | _UNSCORED
                continue
            maps = source.maps(expert, rows, place, method)
            clusters = source.test.index["cluster"].iloc[rows].to_numpy()
            random = source.maps(source.fresh(name), rows, place, method)
            alike = localisation.clustered_mean(localisation.similarity(maps, random), clusters)
            pointed = localisation.clustered_mean(localisation.inside(localisation.peaks(maps), boxes), clusters)
            centre = np.tile(localisation.centre_of(trained), (len(rows), 1))
            yield {
                **about,
                "patients": len(np.unique(clusters)),
                **_named("pointing", pointed),
                "chance": float(localisation.covered(boxes, source.test.matrix).mean()),
                "centre": float(localisation.inside(centre, boxes).mean()),
                **_named("similarity", alike),
                "passes": bool(alike.high < localisation.LIMIT) if np.isfinite(alike.high) else None,
            }


_ESTIMATED = ("pointing", "pointing_low", "pointing_high", "similarity", "similarity_low", "similarity_high")
_UNSCORED = {"patients": 0, "chance": None, "centre": None, "passes": None, **dict.fromkeys(_ESTIMATED)}


def _named(name: str, estimate: Estimate) -> dict[str, float | None]:
    """Returns an estimate under a name; what is not estimable is null."""
    keys = (name, f"{name}_low", f"{name}_high")
    return {key: (v if np.isfinite(v) else None) for key, v in zip(keys, estimate, strict=True)}


def _boxed(samples: Prepared, target: str, most: int | None = None) -> tuple[list[int], list[list[Box]]]:
    """Returns the positive samples that have a box of the target, some of them drawn if they are too many."""
    positive = np.flatnonzero(samples.index[target] == 1).tolist()
    rows = [row for row in positive if _of(samples, row, target)]
    if most is not None and len(rows) > most:
        rows = sorted(np.random.default_rng(0).choice(rows, most, replace=False).tolist())
    return rows, [_of(samples, row, target) for row in rows]


def _case(
    source: _Source,
    answers: SplitAnswers,
    chosen: SelectedCase,
    name: str,
    thresholds: Mapping[str, float],
    method: str,
    folder: Path,
) -> dict[str, Any]:
    """Writes the pictures of a case and returns what `cases.json` says of it."""
    who, target = answers.index.iloc[chosen.row], answers.targets[chosen.place]
    row = int(np.flatnonzero(source.test.index["sample"] == who["sample"])[0])
    x = {modality: values[0, 0].float() for modality, values in source.test[[row]].x.items() if values.ndim == 4}
    pictures = {"magnitude": magnitude_picture(x), "phase": phase_picture(x), "kspace": kspace_picture(x)}
    maps = {e: map_picture(source.maps(expert, [row], chosen.place, method)[0]) for e, expert in source.experts.items()}
    for what, picture in {**pictures, **{f"saliency_{expert}": picture for expert, picture in maps.items()}}.items():
        picture.save(folder / f"{name}_{what}.png", optimize=True)
    return {
        "id": name,
        **{column: str(who[column]) for column in ("sample", "series", "cluster")},
        "target": target,
        "truth": int(answers.truth[chosen.row, chosen.place]),
        "kind": chosen.kind,
        "threshold": thresholds[target],
        **_log_odds(answers, chosen),
        "pictures": {what: f"{name}_{what}.png" for what in pictures},
        "saliency": {expert: f"{name}_saliency_{expert}.png" for expert in maps},
        "boxes": _boxes(source.test, row),
    }


def _log_odds(answers: SplitAnswers, chosen: SelectedCase) -> dict[str, Any]:
    """Returns log-odds, mean over seeds: of the product, of each expert, and what the combiner added."""
    total = float(np.mean([answers.log_odds(key)[chosen.row, chosen.place] for key in answers.logp]))
    opinions = [
        {expert: float(np.diff(z[chosen.row, chosen.place])[0]) for expert, z in logits.items()}
        for logits in answers.opinions.values()
    ]
    experts = {expert: float(np.mean([one[expert] for one in opinions])) for expert in opinions[0]}
    return {"log_odds": total, "experts": experts, "bias": total - sum(experts.values())}
