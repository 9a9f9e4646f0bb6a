"""Pictures of one slice as small palette images: magnitude, phase, log k-space, saliency."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from matplotlib import colormaps
from PIL import Image
from torch import Tensor

from knee_i2m2.modalities.fourier import image_to_kspace

__all__ = ["kspace_picture", "magnitude_picture", "map_picture", "phase_picture"]

_AIR, _NOISE = 0.08, 3.0
"""Below this share of the bright tissue, or so many times the corners' magnitude, phase is noise and is shown grey."""

Slice = Mapping[str, Float[Tensor, "rows columns"]]


def magnitude_picture(x: Slice) -> Image.Image:
    """Returns the magnitude in grey; the brightest half per cent is white."""
    return _painted(x["magnitude"].numpy() / _bright(x), "gray", 64)


def phase_picture(x: Slice) -> Image.Image:
    """Returns the phase, -pi to pi, on a cyclic scale; air, where it is noise, is grey."""
    turned = (x["phase"].numpy() + np.pi) / (2 * np.pi)
    magnitude = x["magnitude"].numpy()
    least = max(_AIR * _bright(x), _NOISE * _corners(magnitude))
    return _painted(turned, "twilight_shifted", 32, hidden=magnitude < least)


def kspace_picture(x: Slice) -> Image.Image:
    """Returns the logarithm of the magnitude of the k-space of the prepared complex image, four decades deep."""
    image = torch.polar(x["magnitude"], x["phase"])
    decades = np.log10(image_to_kspace(image).abs().numpy() + 1e-12)
    return _painted((decades - decades.max() + 4) / 4, "gray", 32)


def map_picture(saliency: Float[np.ndarray, "rows columns"]) -> Image.Image:
    """Returns a saliency map from 0 to its maximum; a large one at half its size, each pixel the largest of four."""
    if min(saliency.shape) > _LARGE:
        rows, columns = (n // 2 for n in saliency.shape)
        saliency = saliency[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).max(axis=(1, 3))
    return _painted(saliency / max(float(saliency.max()), 1e-30), "inferno", 32)


_LARGE = 160


def _bright(x: Slice) -> float:
    return max(float(np.quantile(x["magnitude"].numpy(), 0.995)), 1e-30)


def _corners(magnitude: Float[np.ndarray, "rows columns"]) -> float:
    """Returns the median magnitude in the four corners, where there is air."""
    rows, columns = (max(n // 10, 1) for n in magnitude.shape)
    sides = np.concatenate([magnitude[:rows], magnitude[-rows:]])
    return float(np.median(np.concatenate([sides[:, :columns], sides[:, -columns:]])))


def _painted(
    values: Float[np.ndarray, "rows columns"], scale: str, levels: int, hidden: np.ndarray | None = None
) -> Image.Image:
    """Returns values in [0, 1] in so many colours of a scale: few colours make small files."""
    colours = colormaps[scale](np.linspace(0, 1, levels))[:, :3]
    level = np.clip(np.round(values * (levels - 1)), 0, levels - 1).astype(np.uint8)
    if hidden is not None:
        level, colours = np.where(hidden, levels, level).astype(np.uint8), np.concatenate([colours, [[0.5] * 3]])
    picture = Image.fromarray(level)
    picture.putpalette((255 * colours).round().astype(np.uint8).tobytes())
    return picture
