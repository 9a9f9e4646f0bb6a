import numpy as np
import pytest
from scipy.stats import rankdata

from knee_i2m2.evaluation.statistics.localisation import (
    LIMIT,
    Box,
    centre_of,
    clustered_mean,
    covered,
    inside,
    peaks,
    similarity,
)

random = np.random.default_rng(0)


def test_a_map_points_at_its_maximum() -> None:
    maps = random.random((3, 8, 9))
    maps[0, 2, 7] = maps[1, 7, 0] = maps[2, 0, 0] = 2
    assert peaks(maps).tolist() == [[2, 7], [7, 0], [0, 0]]


def test_a_point_is_a_hit_if_any_box_holds_it() -> None:
    boxes = [[Box(5, 1, 3, 2)], [Box(0, 0, 1, 1), Box(0, 6, 2, 2)], [Box(3, 3, 2, 2)]]
    assert inside(np.array([[2, 7], [7, 0], [0, 0]]), boxes).tolist() == [True, True, False]


def test_a_box_is_x_along_columns_and_y_down_rows() -> None:
    assert inside(np.array([[1, 6]]), [[Box(x=5, y=0, width=2, height=2)]]).all()
    assert not inside(np.array([[6, 1]]), [[Box(x=5, y=0, width=2, height=2)]]).any()


def test_chance_is_what_pointing_at_every_pixel_reaches() -> None:
    boxes = [[Box(2, 3, 3, 1), Box(3, 2, 4, 4)], [Box(-2, -2, 4, 4)], [Box(0.5, 0.5, 1, 1)]]
    rows, columns = (axis.ravel() for axis in np.indices((8, 9)))
    brute = [inside(np.stack([rows, columns], axis=1), [some] * 72).mean() for some in boxes]
    np.testing.assert_allclose(covered(boxes, (8, 9)), brute)


def test_the_centre_is_the_mean_of_the_boxes_centres() -> None:
    assert centre_of([Box(0, 0, 2, 4), Box(10, 10, 2, 0)]).tolist() == [6, 6]


def test_similarity_is_the_correlation_of_ranks() -> None:
    a, b = random.random((4, 6, 7)), random.random((4, 6, 7)).round(1)
    brute = [np.corrcoef(rankdata(x), rankdata(y))[0, 1] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(similarity(a, b), brute, atol=1e-12)
    np.testing.assert_allclose(similarity(a, np.exp(a)), 1)
    assert similarity(a, np.ones_like(a)).tolist() == [0, 0, 0, 0]


def test_an_edge_detector_fails_the_randomisation_test_and_noise_passes_it() -> None:
    """The edges of the picture are the same whatever was learned; noise is not, but points at nothing."""
    images = random.random((40, 16, 16))
    edges = np.abs(np.diff(images, axis=2, append=0))
    patients = np.repeat(np.arange(20), 2)
    assert clustered_mean(similarity(edges, edges * 1.1), patients).high > LIMIT
    noise = [random.random((40, 16, 16)) for _ in range(2)]
    assert clustered_mean(similarity(*noise), patients).high < LIMIT
    boxes = [[Box(3, 3, 2, 2)]] * 40
    pointed = clustered_mean(inside(peaks(noise[0]), boxes), patients)
    assert pointed.low <= covered(boxes, (16, 16)).mean() <= max(pointed.high, 0.05)


def test_a_mean_over_patients_is_wider_than_over_slices_and_needs_ten() -> None:
    patients = np.repeat(np.arange(12), 10)
    values = np.repeat(random.random(12), 10)
    by_patient, by_slice = clustered_mean(values, patients), clustered_mean(values, np.arange(120))
    assert by_patient.value == pytest.approx(values.mean())
    assert by_patient.high - by_patient.low > 2 * (by_slice.high - by_slice.low)
    assert np.isnan(clustered_mean(values[:90], patients[:90])).all()
