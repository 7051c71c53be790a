"""The meeting point of planes, which is the centre of the heart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers

from triage.imaging.geometry import Plane, Vector, meeting_point

HEART = np.array([36.0, -33.0, 5.0])


def through(normal: Vector, off_mm: Vector) -> tuple[Plane, Vector]:
    """Return a plane through the heart whose image centre is `off_mm` away, in the plane."""
    normal = normal / np.linalg.norm(normal)
    row = np.cross(normal, [0.3, 0.5, 0.8])
    row /= np.linalg.norm(row)
    column = np.cross(normal, row)
    middle = HEART + off_mm - normal * (off_mm @ normal)
    return Plane(middle - 100 * row - 90 * column, row, column), middle


@given(integers(0, 10_000))
def test_planes_through_the_heart_meet_there_wherever_their_images_are_centred(
    seed: int,
) -> None:
    drawn = np.random.default_rng(seed)
    turned, _ = np.linalg.qr(drawn.normal(size=(3, 3)))
    planes = [through(normal, drawn.normal(0, 20, 3)) for normal in turned]
    found = meeting_point(planes)
    assert found is not None
    assert np.linalg.norm(found - HEART) < 2


def test_two_planes_meet_in_a_line_and_the_image_centres_choose_the_point() -> None:
    planes = [through(axis, np.array([0.0, 0.0, 7.0])) for axis in np.eye(3)[:2]]
    assert meeting_point(planes) == pytest.approx(HEART + np.array([0, 0, 7]))


def test_a_single_plane_gives_the_centre_of_its_image() -> None:
    plane, middle = through(np.array([0.2, 0.5, 0.7]), np.array([9.0, 4.0, -3.0]))
    assert meeting_point([(plane, middle)]) == pytest.approx(middle)


def test_no_planes_have_no_meeting_point() -> None:
    assert meeting_point([]) is None
