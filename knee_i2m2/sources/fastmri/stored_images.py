r"""Whether a file's stored images, `max` and `norm` are those of its k-space.

fastMRI's `reconstruction_esc` is :math:`|\mathrm{crop}(F^{-1} k)|` to the digit, so a slice of it reveals exchanged
axes, a wrong matrix or the k-space of another volume. `reconstruction_rss` was made of all coils and only looks alike:
it is compared as a thumbnail.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from knee_i2m2.errors import DataError
from knee_i2m2.modalities.kspace import reconstruct_parts
from knee_i2m2.sources.fastmri.hdf5 import EXPORT, File, opened
from knee_i2m2.sources.fastmri.hdf5_array import Array, find_array
from knee_i2m2.sources.fastmri.volumes import Volume, read_kspace

__all__ = ["image_warnings", "with_image_warnings"]

_ESC, _RSS = "reconstruction_esc", "reconstruction_rss"
_SAME = 1e-3
"""Relative difference that rounding leaves."""
_EQUAL = 1e-2
"""Relative difference up to which another view is the one that was stored."""
_OTHER = 0.25
"""Relative difference from which two magnitude images show different things; a filter or a spike makes less."""
_ALIKE, _LEGIBLE = 0.5, 0.8
"""Correlation of thumbnails below which they show different things, and of the two halves of one that is no noise."""
_CLEARLY = 0.5
"""Another view is taken for the stored one where so much less of it is left unexplained."""
_THUMBNAIL = 16
"""Rows and columns."""

Image = Float[np.ndarray, "_ _"]


def with_image_warnings(volume: Volume) -> Volume:
    """Returns a volume whose warnings include those of its stored images; raises as `image_warnings` does."""
    return replace(volume, warnings=volume.warnings | image_warnings(volume))


def image_warnings(volume: Volume) -> dict[str, str]:
    """Returns what of the stored images, `max` and `norm` does not fit k-space, by kind; `no image` where none is.

    Only the slice in the middle is transformed; where lines of k-space were left out, none is.

    Raises:
        DataError: An image has another size or shows something else than k-space, or k-space cannot be read.
    """
    own = None if volume.undersampled else _magnitude(volume)
    warnings: dict[str, str] = {}
    images: dict[str, Array] = {}
    with opened(volume.path) as file:
        for name in (_ESC, _RSS):
            try:
                image = find_array(file, name, 3, ("f4", "f8"))
                contradicts, reason = (False, "") if image is None else _comparison(volume, own, image)
                images |= {} if image is None else {name: image}
            except DataError as error:
                contradicts, reason = False, error.reason
            if contradicts and name == next(iter(images)):
                raise DataError(volume.path, reason, EXPORT)
            warnings |= {name: reason} if reason else {}
        if not images:
            warnings.setdefault("no image", "it holds no reconstruction that its k-space could be compared with")
        return warnings | _attribute_warnings(file, images)


def _magnitude(volume: Volume) -> tuple[Image, float]:
    """Returns the image of the slice in the middle, and what it is to be multiplied with."""
    kspace = torch.from_numpy(read_kspace(volume, slice(volume.middle, volume.middle + 1)))
    unit = torch.view_as_real(kspace).abs().max()  # values may be so large or small that float32 cannot square them
    return torch.hypot(*reconstruct_parts(kspace / unit, volume.matrix))[0].double().numpy(), float(unit)


def _comparison(volume: Volume, own: tuple[Image, float] | None, image: Array) -> tuple[bool, str]:
    """Returns whether a stored image contradicts k-space, and how they differ; nothing where they agree."""
    wanted = (volume.slices, *volume.matrix)
    if image.shape != wanted:
        return True, f"{image.name} has the shape {image.shape}, its k-space and header give {wanted}"
    if own is None:
        return False, ""
    (stored,) = (values.astype(np.float64) for values in image.slices(range(volume.middle, volume.middle + 1)))
    compare = _exactly if image.name == _ESC else _roughly
    return compare(volume, own, image, stored)


def _exactly(volume: Volume, own: tuple[Image, float], image: Array, stored: Image) -> tuple[bool, str]:
    """Compares an image that should be equal."""
    magnitude, unit = own
    what, difference = f"slice {volume.middle} of {image.name}", _difference(magnitude, stored)
    if difference <= _SAME:
        scale = float(np.vdot(magnitude, stored) / np.vdot(magnitude, magnitude)) / unit
        return False, "" if abs(scale - 1) <= _SAME else f"{what} is {scale:.4g} times what its k-space gives"
    for words, view in _views(stored, image):
        if view.shape == magnitude.shape and _difference(magnitude, view) <= _EQUAL:
            return True, f"slice {volume.middle} of kspace is {words} in {image.name}"
    if difference > _OTHER:
        return True, f"{what} shows something else than its k-space: they differ by {100 * difference:.0f} %"
    return False, f"{what} differs by {100 * difference:.2g} % from what its k-space gives"


def _roughly(volume: Volume, own: tuple[Image, float], image: Array, stored: Image) -> tuple[bool, str]:
    """Compares an image that was made of all coils; of noise, in which odd and even rows differ, nothing is asked."""
    magnitude = _thumbnail(own[0])
    if _correlation(_thumbnail(own[0][: len(own[0]) // 2 * 2 : 2]), _thumbnail(own[0][1::2])) < _LEGIBLE:
        return False, ""
    alike = _correlation(magnitude, _thumbnail(stored))
    for words, view in _views(_thumbnail(stored)):
        better = _correlation(magnitude, view) if view.shape == magnitude.shape else 0
        if better > _ALIKE and 1 - better < _CLEARLY * (1 - alike):
            return True, f"slice {volume.middle} of kspace is {words} in {image.name}"
    if alike < _ALIKE:
        return True, f"slice {volume.middle} of {image.name} shows something else than its k-space"
    return False, ""


def _views(stored: Image, image: Array | None = None) -> Iterator[tuple[str, Image]]:
    """Yields what may have been stored instead: the image turned, mirrored or shifted, and the other slices."""
    yield "upside down", stored[::-1]
    yield "mirrored", stored[:, ::-1]
    yield "turned by 180 degrees", stored[::-1, ::-1]
    yield "transposed", stored.T
    yield "turned by 90 degrees", np.rot90(stored)
    yield "turned by 270 degrees", np.rot90(stored, 3)
    yield "transposed and turned", stored[::-1, ::-1].T
    yield "shifted by half its size", np.fft.fftshift(stored)
    for index, values in enumerate(image.slices(range(image.shape[0])) if image else ()):
        yield f"slice {index}", values.astype(np.float64)


def _attribute_warnings(file: File, images: Mapping[str, Array]) -> dict[str, str]:
    """Returns which of `max` and `norm` are those of no stored image; the format does not say whose they are."""
    stated = {name: value for name in ("max", "norm") if (value := file.number(name))}
    warnings: dict[str, str] = {}
    for image in images.values() if stated else ():
        values = _extremes(image)
        off = {name for name, value in stated.items() if not abs(values[name] - value) <= _EQUAL * value}
        if not off:
            return {}
        words = f"{{}} is {{:.4g}}, that of {image.name} {{:.4g}}"
        warnings = warnings or {name: "its attribute " + words.format(name, stated[name], values[name]) for name in off}
    return warnings


def _extremes(image: Array) -> dict[str, float]:
    """Returns the largest value of an image of all slices, and its Euclidean norm."""
    most, energy = 0.0, 0.0
    for values in image.slices(range(image.shape[0])):
        flat = values.ravel().astype(np.float64)
        most, energy = max(most, float(flat.max())), energy + float(np.vdot(flat, flat))
    return {"max": most, "norm": energy**0.5}


def _thumbnail(image: Image) -> Image:
    """Returns the means of blocks, in which the noise of single pixels averages out."""
    rows, columns = (max(size // _THUMBNAIL, 1) for size in image.shape)
    whole = image[: image.shape[0] // rows * rows, : image.shape[1] // columns * columns]
    return whole.reshape(len(whole) // rows, rows, -1, columns).mean(axis=(1, 3))


def _difference(one: Image, other: Image) -> float:
    """Returns the part of one image that is no multiple of the other, relative to the whole."""
    return max(1 - _cosine(one, other) ** 2, 0.0) ** 0.5


def _correlation(one: Image, other: Image) -> float:
    return _cosine(one - one.mean(), other - other.mean())


def _cosine(one: Image, other: Image) -> float:
    """Returns the cosine of the angle between two images; 0 where one of them is empty or not finite."""
    norms = float(np.vdot(one, one) * np.vdot(other, other)) ** 0.5
    return float(np.vdot(one, other)) / norms if 0 < norms < float("inf") else 0.0
