"""Pages taken apart, and what a run leaves beside its predictions, for the tests of the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from knee_i2m2.evaluation.split_answers import read_split_answers

NASTY = '<script>alert("1")</script>'


class Tags(HTMLParser):
    """Collects every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def finished(run: Path) -> Path:
    """Adds what training leaves beside the predictions."""
    lines = []
    for rival in ("magnitude", "phase", "i2m2"):
        for epoch in range(3):
            losses = {part: {"nll": 1 / (epoch + 1)} for part in ("train", "valid")}
            lines.append({"rival": rival, "seed": 0, "epoch": epoch, "losses": losses, "score": 0.5 + epoch / 10})
        amounts = {"epochs": 3, "best_epoch": 2, "updates": 30, "parameters": 97_000, "flops": 1e12, "seconds": 4.2}
        lines.append({"rival": rival, "seed": 0, "finished": True, **amounts})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    split = {"samples": 72, "series": 24, "clusters": 12, "positives": {"acl": 30}}
    data = {"task": "knee", "counts": {"test": split}, "kind": "patient"}
    (run / "data.json").write_text(json.dumps(data | {"volumes": 24, "left_out": {"nobody reviewed it": 3}}))
    packages = {"torch": "2.13.0", "monai": "1.6.1"}
    (run / "environment.json").write_text(json.dumps({"command": "knee-i2m2 train knee", "packages": packages}))
    return run


def with_cases(run: Path, number: int = 4, side: int = 16, **more: Any) -> Path:
    """Adds cases of the run's own predictions, with pictures of noise; `more` changes each of them."""
    answers = read_split_answers(run, "test")
    keys = [key for key in answers.logp if key[0] == "i2m2"]
    said = np.mean([answers.log_odds(key) for key in keys], axis=0)
    experts = answers.experts["i2m2"]
    folder = run / "cases"
    folder.mkdir()
    cases = [_case(folder, answers, said, experts, n, side) | more for n in range(number)]
    scores = [_score(expert, target, passes=expert != "phase") for expert in experts for target in answers.targets]
    about = {"unit": "slice", "rival": "i2m2", "seeds": [0], "matrix": [side, side], "method": "gradient"}
    (folder / "cases.json").write_text(json.dumps({**about, "cases": cases, "scores": scores}))
    return run


def _case(folder: Path, answers: Any, said: np.ndarray, experts: Sequence[str], n: int, side: int) -> dict[str, Any]:
    pictures = {what: f"{n}_{what}.png" for what in ("magnitude", "phase", "kspace")}
    maps = {expert: f"{n}_saliency_{expert}.png" for expert in experts}
    for name in (*pictures.values(), *maps.values()):
        Image.fromarray(np.random.default_rng(n).integers(256, size=(side, side), dtype=np.uint8)).save(folder / name)
    z, place = float(said[n, n % len(answers.targets)]), n % len(answers.targets)
    return {
        "id": str(n + 1),
        "sample": str(answers.index["sample"].iloc[n]),
        "target": answers.targets[place],
        "truth": int(answers.truth[n, place]),
        "kind": "false negative" if n % 2 else "false positive",
        "threshold": 0.25,
        "log_odds": z,
        "experts": dict.fromkeys(experts, (z - 0.5) / len(experts)),
        "bias": 0.5,
        "pictures": pictures,
        "saliency": maps,
        "boxes": [{"x": 2, "y": 3, "width": 5, "height": 6, "label": "Tear", "target": answers.targets[place]}],
    }


def _score(expert: str, target: str, passes: bool) -> dict[str, Any]:
    alike = 0.2 if passes else 0.8
    return {
        **{"expert": expert, "target": target, "method": "gradient", "slices": 30, "patients": 12},
        **{"pointing": 0.7, "pointing_low": 0.6, "pointing_high": 0.8, "chance": 0.05, "centre": 0.4},
        **{"similarity": alike, "similarity_low": alike - 0.1, "similarity_high": alike + 0.1, "passes": passes},
    }
