"""AV-MNIST: digits and spoken digits in noise."""

from __future__ import annotations

from knee_i2m2.sources.avmnist.digits import mnist_files, read_digits
from knee_i2m2.sources.avmnist.prepare import PrepareAVMNIST, prepare_avmnist
from knee_i2m2.sources.avmnist.sounds import read_noises, read_recordings

__all__ = ["PrepareAVMNIST", "mnist_files", "prepare_avmnist", "read_digits", "read_noises", "read_recordings"]
