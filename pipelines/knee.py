"""fastMRI knee: raw k-space to AUROCs with intervals. Copy this file and change what is yours.

    knee-i2m2 phantom PHANTOM                                   (where fastMRI is not at hand)
    python pipelines/knee.py PHANTOM PHANTOM/knee.csv DATA

With checkpoints, several seeds, resuming and a report use the recipe (`knee_original.yaml`: the original's protocol):

    knee-i2m2 train knee --data DATA --out RUN [--config knee_original.yaml] && knee-i2m2 evaluate RUN
"""

import sys
from pathlib import Path

import knee_i2m2 as ki

RIVALS = ("position", "magnitude", "phase", "intra", "inter", "i2m2")


def main(fastmri: Path, annotations: Path, data: Path, rivals: tuple[str, ...] = RIVALS, epochs: int = 20) -> None:
    """Prints each rival's AUROC per slice, and how much it lies below that of the last one."""
    ki.prepare_knee(fastmri, ki.PrepareKnee(annotations=annotations, out=data))  # patients are split here
    train, val, test = (ki.Prepared.open(data, split) for split in ("train", "val", "test"))
    models = {name: ki.fit(ki.rival(name, train), train, val, epochs=epochs, lr=3e-4) for name in rivals}
    answers = {name: ki.predict(model, test) for name, model in models.items()}
    for target in test.task.targets:
        truth, best = test.truth(target), answers[rivals[-1]].log_odds(target)
        for name in rivals:
            score = answers[name].log_odds(target)
            value, low, high = ki.clustered_interval(ki.auroc, truth, score, test.clusters)
            difference = ki.paired_test(truth, best, score, test.clusters)
            print(f"{target:10} {name:10} {value:.3f} [{low:.3f}, {high:.3f}]  {difference.difference:+.3f}", end="")
            print(f" [{difference.low:+.3f}, {difference.high:+.3f}], p = {difference.p:.3f}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
