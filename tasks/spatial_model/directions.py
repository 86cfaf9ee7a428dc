"""Directions as numbers: what the direction head says as a vector, and the angle between two. Numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tasks.spatial.foa import unit_vector

Array = npt.NDArray[np.float64]


def as_vectors(outputs: Array) -> Array:
    """Return unit vectors x (front), y (left), z (up) [rows, 3] of what the head gives: vectors [rows, 3], or radians [rows, 2].

    Of raw angles only the ratio was trained (a cosine of (azimuth, elevation) does not see their length), so that their direction is a
    guess: they are read as they stand.
    """
    if outputs.shape[1] == 2:
        return np.asarray(unit_vector(np.rad2deg(outputs[:, 0]), np.rad2deg(outputs[:, 1])))
    return np.asarray(outputs / np.maximum(np.linalg.norm(outputs, axis=1, keepdims=True), 1e-12))


def great_circle_deg(predicted: Array, true: Array) -> Array:
    """Return the angle in degrees [rows] between directions [rows, 3] of any length; exact at small angles, unlike the arc cosine."""
    return np.asarray(np.rad2deg(np.arctan2(np.linalg.norm(np.cross(predicted, true), axis=1), (predicted * true).sum(1))))
