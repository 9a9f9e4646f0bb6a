"""On scenes only who sees pictures and sentence together answers better than chance."""

from __future__ import annotations

from pathlib import Path

import pytest

from knee_i2m2.cli import main
from knee_i2m2.evaluation.evaluate import evaluate


@pytest.mark.slow
def test_the_interaction_is_learnt_and_neither_modality_alone_tells_anything(tmp_path: Path) -> None:
    world = ["--kinds", "both", "--colours", "red", "blue", "--shapes", "circle", "square", "--most", "2"]
    sizes = ["--train", "6000", "--val", "400", "--test", "2000"]
    config = ["--config", "nlvr2_scenes.yaml"]
    assert main(["scenes", str(tmp_path / "scenes"), *world, *sizes]) == 0
    assert main(["prepare", "nlvr2", str(tmp_path / "scenes"), "--out", str(tmp_path / "data"), *config]) == 0
    options = ["--rivals", "images", "sentence", "inter", "--epochs", "5", "--patience", "2", "--threads", "1"]
    assert (
        main(["train", "nlvr2", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), *config, *options])
        == 0
    )
    rows = evaluate(tmp_path / "run", replicates=100).results
    rows = rows.query("split == 'test' and seed == 'mean' and subgroup == 'all' and metric == 'accuracy'")
    accuracy = rows.query("target == 'label'").set_index("rival")["value"]
    assert abs(accuracy[["images", "sentence", "majority"]] - 0.5).max() < 0.03
    assert accuracy["inter"] > 0.8
