"""Every method on a benchmark whose interaction is known in closed form.

Command::

    make study-synthetic        (half an hour; writes three tables to pipelines/results)

Two modalities of three numbers each (`knee_i2m2.sources.gaussians`): unique evidence of strength .7 in both, redundant
of .5, and synergistic of strength gamma, 0 to 1.5. 2,000 samples train, 500 validate, 4,000 test; five seeds each draw
data, weights and orders.

======================  ==========================================================================================
synthetic.csv           per strength and rival: AUROC and mean -log p on test (mean over seeds), the difference of
                        AUROC to `intra2` (four experts on single modalities) with Holm's interval over all rivals
                        of a strength, parameters, and seconds of training
synthetic_seeds.csv     per strength, rival and seed: AUROC and mean -log p
synthetic_gain.csv      per strength: the interaction gain in nats, its interval and verdict, and what the closed form
                        leaves to a joint model
======================  ==========================================================================================
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.special import log_expit

from knee_i2m2.data.samples import Samples
from knee_i2m2.evaluation.interaction_gain import interaction_gain
from knee_i2m2.evaluation.statistics.multiplicity import holm_levels
from knee_i2m2.evaluation.statistics.student import Area, Difference, area, difference, mean_difference
from knee_i2m2.files import write_text
from knee_i2m2.sources.gaussians import Gaussians
from knee_i2m2.training.learn import fit, log_likelihood, predict, rival
from knee_i2m2.training.residual import residuals
from knee_i2m2.training.rivals import method_rivals, standard_rivals
from knee_i2m2.types import Rival
from pipelines.studies.study import RESULTS, write

__all__ = ["BASELINE", "RIVALS", "STRENGTHS", "answered", "gain", "markdown", "parts", "table"]

NAMES = ("first", "second")
STRENGTHS = (0.0, 0.75, 1.5)
BASELINE = "intra2"
RIVALS = standard_rivals(NAMES) | {BASELINE: Rival((*NAMES, "first.2", "second.2"), warm=True)} | method_rivals(NAMES)
BUDGET = {"epochs": 10, "lr": 5e-3, "batch_size": 64, "device": "cpu"}


def parts(
    strength: float, seed: int, sizes: tuple[int, int, int] = (2000, 500, 4000)
) -> list[tuple[Samples, np.ndarray]]:
    """Returns train, val and test, each with its log-odds in closed form."""
    kind = Gaussians((0.7, 0.7), 0.5, strength)
    drawn = [kind.draw(size, 10 * seed + number) for number, size in enumerate(sizes)]
    starts = np.cumsum([0, *sizes])
    return [
        (Samples(d.x, d.y, clusters=start + np.arange(len(d.y))), d.log_odds)
        for start, d in zip(starts, drawn, strict=False)
    ]


def answered(name: str, strength: float, seed: int) -> dict[str, object]:
    """Returns a rival's AUROC as an `Area`, its mean -log p on test, parameters, and seconds of training."""
    (train, _), (val, _), (test, log_odds) = parts(strength, seed)
    start, truth = time.process_time(), test.y.numpy()
    if name == "ideal":
        logp = np.stack([log_expit(-log_odds), log_expit(log_odds)], axis=-1)
        return _row(truth, logp, 0, 0.0)
    model = fit(rival(RIVALS[name], train), train, val, seed=seed, fine_tune_epochs=5, **BUDGET)
    spent = time.process_time() - start
    return _row(truth, predict(model, test).logp, sum(p.numel() for p in model.parameters()), spent)


def _row(truth: np.ndarray, logp: np.ndarray, parameters: int, seconds: float) -> dict[str, object]:
    codes = np.arange(len(truth))
    surprise = -log_likelihood(logp, truth)
    return {
        "area": area(truth, logp[:, 1] - logp[:, 0], codes),
        "nats": surprise,
        "parameters": parameters,
        "seconds": seconds,
    }


def table(strength: float, rows: dict[str, list[dict[str, object]]]) -> pd.DataFrame:
    """Returns a row per rival: means over seeds, and the difference to the baseline with Holm's interval."""
    areas: dict[str, list[Area]] = {name: [one["area"] for one in of] for name, of in rows.items()}
    apart: dict[str, Difference] = {
        name: mean_difference([difference(a, b) for a, b in zip(of, areas[BASELINE], strict=True)])
        for name, of in areas.items()
        if name not in (BASELINE, "ideal")
    }
    levels = dict(zip(apart, holm_levels(np.array([one.p for one in apart.values()])), strict=True))
    return pd.DataFrame([_line(strength, name, of, apart.get(name), levels.get(name)) for name, of in rows.items()])


def _line(
    strength: float, name: str, of: list[dict], apart: Difference | None, level: float | None
) -> dict[str, object]:
    low, high = apart.interval(level) if apart else (np.nan, np.nan)
    return {
        "synergistic": strength,
        "rival": name,
        "seeds": len(of),
        "auroc": np.mean([one["area"].value for one in of]),
        "nats": np.mean([one["nats"] for one in of]),
        "difference": apart.value if apart else np.nan,
        "holm_low": low,
        "holm_high": high,
        "parameters": of[0]["parameters"],
        "seconds": round(np.mean([one["seconds"] for one in of]), 1),
    }


def gain(strength: float, seeds: tuple[int, ...]) -> dict[str, object]:
    """Returns the interaction gain of one data set, its verdict, and what a joint model can add in closed form."""
    (train, _), (val, _), (test, log_odds) = parts(strength, 0)
    found = residuals(train, val, test, seeds=seeds, **BUDGET)
    (one,) = interaction_gain(found.task, found.truth, found.clusters, found.additive, found.joint)
    additive = Gaussians((0.7, 0.7), 0.5, 0.0).log_odds(*(test.x[name].double().numpy() for name in NAMES))
    signs = 2 * test.y.numpy() - 1
    possible = float(np.mean(log_expit(signs * log_odds) - log_expit(signs * additive)))
    return {"synergistic": strength, **one.nats._asdict(), "verdict": one.verdict, "possible": possible}


def _by_seed(strength: float, rows: dict[str, list[dict[str, object]]], seeds: tuple[int, ...]) -> pd.DataFrame:
    lines = [
        (name, seed, one["area"].value, one["nats"])
        for name, of in rows.items()
        for seed, one in zip(seeds, of, strict=True)
    ]
    return pd.DataFrame(lines, columns=["rival", "seed", "auroc", "nats"]).assign(synergistic=strength)


def study(seeds: tuple[int, ...] = (0, 1, 2, 3, 4)) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yields the name and the content of every table."""
    yield "synthetic_gain", pd.DataFrame([gain(strength, seeds) for strength in STRENGTHS])
    rows = {s: {n: [answered(n, s, seed) for seed in seeds] for n in (*RIVALS, "ideal")} for s in STRENGTHS}
    yield "synthetic_seeds", pd.concat([_by_seed(strength, of, seeds) for strength, of in rows.items()])
    yield "synthetic", pd.concat([table(strength, of) for strength, of in rows.items()])


def markdown() -> str:
    """Returns the published tables as a page."""
    rivals, gains = pd.read_csv(RESULTS / "synthetic.csv"), pd.read_csv(RESULTS / "synthetic_gain.csv")
    cells = rivals.assign(cell=[_cell(*values) for values in rivals[["auroc", "holm_low", "holm_high"]].to_numpy()])
    wide = cells.pivot(index="rival", columns="synergistic", values="cell")
    wide = wide.loc[rivals[rivals["synergistic"] == STRENGTHS[-1]].sort_values("auroc", ascending=False)["rival"]]
    nats = [f"{value:.4f} [{low:.4f}, {high:.4f}]" for value, low, high in gains[["value", "low", "high"]].to_numpy()]
    gained = pd.DataFrame({"gamma": gains["synergistic"], "gain in nats": nats, "verdict": gains["verdict"]})
    gained["closed form leaves"] = gains["possible"].map("{:.4f}".format)
    names = [f"gamma {strength:g}" for strength in STRENGTHS]
    parts = (_HEAD, _lines(["rival", *names], wide.reset_index().to_numpy()), _lines([*gained], gained.to_numpy()))
    return "\n\n".join(parts) + "\n"


_HEAD = """# Every method where the interaction is known in closed form

Made by `make study-synthetic`, whose head says how. AUROC on test, mean over five seeds; in brackets Holm's interval
of the difference to `intra2`, four experts on single modalities, over all rivals of a strength. gamma is the
strength of the synergistic evidence; at 0 there is none."""


def _cell(auroc: float, low: float, high: float) -> str:
    return f"{auroc:.3f}" + (f" [{low:+.3f}, {high:+.3f}]" if np.isfinite(low) else "")


def _lines(names: Sequence[str], rows: np.ndarray) -> str:
    texts = ([f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows)
    return "\n".join("| " + " | ".join(line) + " |" for line in [names, ["---"] * len(names), *texts])


if __name__ == "__main__":
    for title, content in study():
        write(title, content)
    write_text(RESULTS / "synthetic.md", markdown())
