"""NLVR2: two pictures and a sentence, to accuracy and a report. Copy this file and change what is yours.

    knee-i2m2 scenes SCENES                             (where NLVR2's photographs are not at hand)
    python pipelines/nlvr2.py SCENES OUT

Options of the recipe come from a file, here the shipped `nlvr2_scenes.yaml`; for NLVR2 itself change it to yours.
"""

import sys
from importlib.resources import files
from pathlib import Path

import yaml

import knee_i2m2 as ki
from knee_i2m2.recipes.nlvr2 import NLVR2, train
from knee_i2m2.recipes.nlvr2_data import PrepareNLVR2, prepare

OPTIONS = yaml.safe_load((files("knee_i2m2.recipes") / "nlvr2_scenes.yaml").read_text())


def main(pictures: Path, out: Path, replicates: int = 1000, **changed: object) -> None:
    """Prints the accuracy of every rival, and where the report is."""
    prepare(pictures, PrepareNLVR2(out=out / "data", **OPTIONS["prepare"]))
    train(NLVR2(data=out / "data", out=out / "run", **{**OPTIONS["train"], **changed}))
    results = ki.evaluate(out / "run", replicates=replicates).results
    wanted = "split == 'test' and seed == 'mean' and subgroup == 'all' and metric == 'accuracy' and target == 'label'"
    print(results.query(wanted)[["rival", "value", "low", "high"]].to_string(index=False))
    print(ki.report(out / "run"))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
