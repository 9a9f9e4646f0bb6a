"""AV-MNIST: digits seen and heard, to accuracy with intervals. Copy this file and change what is yours.

    python pipelines/avmnist.py MNIST FSDD NOISE DATA

With the paper's networks, several seeds, resuming and a report: `knee-i2m2 train avmnist --data DATA --out RUN`.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import knee_i2m2 as ki
from knee_i2m2.recipes.avmnist import PrepareAVMNIST, prepare

RIVALS = ("image", "audio", "intra", "inter", "i2m2")


class Network(nn.Module):
    """A network of your own: its arguments are the expert's modalities, in the order of the expert's name."""

    def __init__(self, expert: str) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoder() for _ in expert.split("+"))
        self.head = nn.Linear(64 * len(self.encoders), 10)

    def forward(self, *modalities: Tensor) -> Tensor:
        """Returns the logits, of shape (batch, 10)."""
        return self.head(torch.cat([encode(x) for encode, x in zip(self.encoders, modalities, strict=True)], dim=1))


def encoder() -> nn.Module:
    """Returns a small convolutional network from one channel of any size to 64 features."""
    convolutions = (nn.Conv2d(1, 16, 5, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU())
    return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 64), nn.ReLU())


def main(mnist: Path, fsdd: Path, noise: Path, data: Path, epochs: int = 10, **sizes: int) -> None:
    """Prints each rival's accuracy; recordings, of which a pair holds one, are resampled."""
    prepare(PrepareAVMNIST(data, mnist, fsdd, noise, **sizes))
    train, val, test = (ki.Prepared.open(data, split) for split in ("train", "val", "test"))
    for name in RIVALS:
        model = ki.fit(ki.rival(name, train, Network), train, val, epochs=epochs, lr=3e-3, batch_size=64)
        answers = ki.predict(model, test)
        value, low, high = ki.clustered_interval(ki.accuracy, test.truth("label"), answers.logp, test.clusters)
        print(f"{name:6} {value:.1%} [{low:.1%}, {high:.1%}]")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
