"""First-order Ambisonics (FOA) in numpy: conventions, encoding, rotation with labels, stereo, directions. Arrays are [..., 4, samples].

Inside the project FOA is AmbiX (Nachbar et al., 2011): channels W, Y, Z, X (ACN), SN3D, azimuth counter-clockwise from the front (+x), so
that positive azimuths are on the left (+y), elevation upwards. Sets of others are converted when they come in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from core.errors import InvalidValueError

Array = npt.NDArray[Any]
CHANNELS = ("W", "Y", "Z", "X")
"""ACN order."""
FUMA_CHANNELS = ("W", "X", "Y", "Z")
SCALES: dict[str, tuple[float, float]] = {
    "SN3D": (1.0, 1.0),
    "N3D": (1.0, 3**0.5),
    "FuMa": (0.5**0.5, 1.0),
    "DISSE": (1.0, 3**-0.5),
    "orthonormal": ((4 * np.pi) ** -0.5, (3 / (4 * np.pi)) ** 0.5),
}
"""Gains of W and of the dipoles for a plane wave on a dipole's axis, by normalisation. DISSE's is what its four cardioids give."""


@dataclass(frozen=True)
class Convention:
    """How four channels are to be read; as it stands, AmbiX."""

    order: Literal["ACN", "FuMa"] = "ACN"
    """W, Y, Z, X or W, X, Y, Z."""
    normalisation: Literal["SN3D", "N3D", "FuMa", "DISSE", "orthonormal"] = "SN3D"
    """See :data:`SCALES`."""
    azimuth_sign: Literal["left_positive", "right_positive"] = "left_positive"
    """The side that makes Y positive."""

    def __post_init__(self) -> None:
        if self.normalisation not in SCALES:
            raise InvalidValueError("unknown normalisation", where="convention", allowed=sorted(SCALES), received=self.normalisation)
        if self.order not in ("ACN", "FuMa"):
            raise InvalidValueError("unknown channel order", where="convention", allowed=["ACN", "FuMa"], received=self.order)
        if self.azimuth_sign not in ("left_positive", "right_positive"):
            allowed = ["left_positive", "right_positive"]
            raise InvalidValueError("unknown handedness", where="convention", allowed=allowed, received=self.azimuth_sign)


AMBIX = Convention()


def _gains(convention: Convention) -> Array:
    """Return what W, Y, Z, X of AmbiX are multiplied by to get a convention's, [4]."""
    omni, dipole = SCALES[convention.normalisation]
    return np.array([omni, dipole if convention.azimuth_sign == "left_positive" else -dipole, dipole, dipole])


def _checked(channels: Array) -> Array:
    if channels.ndim < 2 or channels.shape[-2] != 4:
        raise InvalidValueError("no first-order sound", where="foa", allowed="[..., 4, samples]", received=channels.shape)
    return channels


def to_ambix(channels: Array, convention: Convention) -> Array:
    """Return channels [..., 4, samples] of some convention as AmbiX, in their own precision."""
    _checked(channels)
    if convention.order == "FuMa":
        channels = channels[..., [FUMA_CHANNELS.index(name) for name in CHANNELS], :]
    return channels / _gains(convention)[:, None].astype(channels.dtype)


def from_ambix(channels: Array, convention: Convention) -> Array:
    """Return AmbiX channels [..., 4, samples] in another convention, in their own precision."""
    scaled = _checked(channels) * _gains(convention)[:, None].astype(channels.dtype)
    return scaled[..., [CHANNELS.index(name) for name in FUMA_CHANNELS], :] if convention.order == "FuMa" else scaled


def from_tetrahedron(microphones: Array) -> Array:
    """Return W, Y, Z, X of four outward cardioids at (+,+,+), (+,−,−), (−,+,−), (−,−,+), [..., 4, samples]: DISSE's A-format.

    Half sums and differences, as DISSE takes them; the dipoles come out at 1/√3 (normalisation ``DISSE``).
    """
    signs = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, -1, -1, 1], [1, 1, -1, -1]], dtype=microphones.dtype) / 2
    return np.asarray(signs @ _checked(microphones))


def unit_vector(azimuth_deg: Array | float, elevation_deg: Array | float) -> Array:
    """Return x (front), y (left), z (up) of directions, [..., 3]."""
    azimuth, elevation = np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg)
    return np.stack([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation) + 0 * azimuth], axis=-1)


def angles(vectors: Array) -> tuple[Array, Array]:
    """Return azimuth in −180 … 180 and elevation, in degrees, of vectors [..., 3] of any length."""
    x, y, z = np.moveaxis(np.asarray(vectors), -1, 0)
    return np.rad2deg(np.arctan2(y, x)), np.rad2deg(np.arctan2(z, np.hypot(x, y)))


def gains(azimuth_deg: Array | float, elevation_deg: Array | float) -> Array:
    """Return the AmbiX gains W, Y, Z, X of a plane wave, [..., 4]: 1, sin φ cos θ, sin θ, cos φ cos θ."""
    x, y, z = np.moveaxis(unit_vector(azimuth_deg, elevation_deg), -1, 0)
    return np.stack([np.ones_like(x), y, z, x], axis=-1)


def encode(samples: Array, azimuth_deg: float, elevation_deg: float) -> Array:
    """Return a mono sound [..., samples] as a plane wave [..., 4, samples]."""
    return np.asarray(samples)[..., None, :] * gains(azimuth_deg, elevation_deg)[:, None].astype(np.asarray(samples).dtype)


def rotation(yaw_deg: float = 0.0, pitch_deg: float = 0.0, roll_deg: float = 0.0) -> Array:
    """Return the matrix [3, 3] that turns vectors x, y, z: first roll about +x, then pitch, then yaw about +z.

    Yaw adds to azimuths; a positive pitch lifts what is in front; a positive roll lifts what is on the left.
    """
    yaw, pitch, roll = np.deg2rad([yaw_deg, pitch_deg, roll_deg])
    about_z = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(pitch), 0, -np.sin(pitch)], [0, 1, 0], [np.sin(pitch), 0, np.cos(pitch)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    return np.asarray(about_z @ about_y @ about_x)


def rotate(channels: Array, matrix: Array) -> Array:
    """Return a sound field [..., 4, samples] turned by a :func:`rotation`; exact, W stays as it is."""
    to_yzx = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=float)
    whole = np.eye(4)
    whole[1:, 1:] = to_yzx @ matrix @ to_yzx.T
    return np.asarray(whole.astype(channels.dtype) @ _checked(channels))


def rotate_label(azimuth_deg: Array | float, elevation_deg: Array | float, matrix: Array) -> tuple[Array, Array]:
    """Return azimuth and elevation of sources after the same :func:`rotation`."""
    return angles(unit_vector(azimuth_deg, elevation_deg) @ matrix.T)


def stereo(channels: Array, half_angle_deg: float = 90.0) -> Array:
    """Return left and right [..., 2, samples]: virtual cardioids at ± ``half_angle_deg`` from the front."""
    w, y, _, x = np.moveaxis(_checked(channels), -2, 0)
    along, across = np.cos(np.deg2rad(half_angle_deg)), np.sin(np.deg2rad(half_angle_deg))
    sides = [0.5 * (w + along * x + sign * across * y) for sign in (1.0, -1.0)]
    return np.stack(sides, axis=-2).astype(channels.dtype)


def intensity(channels: Array) -> Array:
    """Return the active intensity summed over time, x, y, z [..., 3]; it points to where the sound comes from."""
    w, y, z, x = np.moveaxis(_checked(channels).astype(np.float64), -2, 0)
    return np.stack([(w * axis).sum(-1) for axis in (x, y, z)], axis=-1)


def direction(channels: Array) -> tuple[Array, Array]:
    """Return azimuth and elevation in degrees by the active intensity."""
    return angles(intensity(channels))


def apart_deg(first: tuple[Any, Any], second: tuple[Any, Any]) -> Array:
    """Return the great-circle angle between two directions (azimuth, elevation), in degrees; exact for small angles too."""
    one, other = unit_vector(*first), unit_vector(*second)
    return np.rad2deg(np.arctan2(np.linalg.norm(np.cross(one, other), axis=-1), (one * other).sum(-1)))
