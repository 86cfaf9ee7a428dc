"""Checks that a response's direct sound comes from where its row says, at the level it should have, and on the right side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import signal

from core.errors import InvalidValueError
from tasks.simulate_rooms import simulator
from tasks.simulate_rooms.drawing import Draw
from tasks.simulate_rooms.simulator import DELAY, Engine
from tasks.spatial import foa

Array = npt.NDArray[Any]
LEVEL_TOLERANCE = 0.05
"""Of a direct sound's energy times distance squared, beside what the air took: a windowed sinc between two samples has a little less."""
STORED_TOLERANCE = 0.02
"""Of the dipole gains that are read off a whole response before its first reflection."""
COMPAT_BELOW_HZ, COMPAT_TOLERANCE_DEG = 1000.0, 12.0
"""DISSE's spaced cardioids know directions below their aliasing only, and near sources not as plane waves."""


@dataclass(frozen=True)
class Checked:
    """What one response's check found."""

    gain_error: float
    """Largest error of the three dipole gains of the direct sound; of spaced cardioids, degrees by which its direction is off."""
    stored_error: float
    """The same in the response as it is written, before the first reflection; NaN where that comes too soon."""
    level_error: float
    """Of the direct sound's energy times distance squared, from what it should be; NaN for spaced cardioids."""
    side_is_right: bool
    """The sign of Y is that of the azimuth, where the source is at least 5° off the median plane."""


def check(draw: Draw, samples: Array, engine: Engine) -> Checked:
    """Check one response.

    Args:
        draw: what it is said to be.
        samples: as it is written, [4, samples].
        engine: how it was simulated.
    """
    # By the same receivers and the same turn as the response itself.
    direct = turned(simulator.direct_sound(draw.scene, engine), draw, engine)
    expected = foa.gains(draw.azimuth_deg, draw.elevation_deg)
    across = expected[1]
    if engine.tetrahedron:
        low = signal.sosfiltfilt(signal.butter(4, COMPAT_BELOW_HZ, fs=engine.rate_hz, output="sos"), foa.from_tetrahedron(direct))
        side = float(low[1] @ low[0])
        error = float(foa.apart_deg(foa.direction(low), (draw.azimuth_deg, draw.elevation_deg)))
        return Checked(error, np.nan, np.nan, bool(abs(across) < 0.09 or side * across > 0))
    found = _gains(direct)
    air, widths = simulator.medium(engine, len(draw.scene.alphas))
    left = float(np.dot(widths, np.exp(-np.array(air) * draw.distance_m)))
    level = float((direct[0] ** 2).sum()) * draw.distance_m**2 / left
    return Checked(
        gain_error=float(np.abs(found - expected[1:]).max()), stored_error=_stored_error(draw, samples, engine, expected),
        level_error=abs(level - 1), side_is_right=bool(abs(across) < 0.09 or found[0] * across > 0),
    )  # fmt: skip


def turned(samples: Array, draw: Draw, engine: Engine) -> Array:
    """Return a response as the receiver hears it that looks along ``draw.yaw_deg``."""
    return foa.rotate(samples, foa.rotation(-draw.yaw_deg)) if draw.yaw_deg and not engine.tetrahedron else samples


def _gains(samples: Array) -> Array:
    """Return what Y, Z, X are of W, by least squares [3]."""
    return np.asarray(samples[1:] @ samples[0] / (samples[0] @ samples[0]))


def _stored_error(draw: Draw, samples: Array, engine: Engine, expected: Array) -> float:
    """Return the error of the gains before the first reflection's sinc begins."""
    source, receiver, dims = (np.array(value) for value in (draw.scene.source_m, draw.scene.receiver_m, draw.scene.dims_m))
    walls = [(-source, axis) for axis in range(3)] + [(2 * dims - source, axis) for axis in range(3)]
    images = [np.where(np.arange(3) == axis, mirrored, source) for mirrored, axis in walls]
    first = min(float(np.linalg.norm(image - receiver)) for image in images)
    per_metre = engine.rate_hz / 343.0
    if (first - draw.distance_m) * per_metre < DELAY + 3:  # its peak is not yet over
        return float("nan")
    before = samples[:, : int(first * per_metre)].astype(np.float64)
    return float(np.abs(_gains(before) - expected[1:]).max())


def require(checks: list[Checked], engine: Engine, tolerance: float) -> dict[str, float]:
    """Return the worst of many checks, for the catalogue.

    Raises:
        InvalidValueError: a gain, a level or a side is wrong: no catalogue is written of such responses.
    """
    where = "simulate_rooms.self_test"
    worst = {
        "responses": float(len(checks)), "gain_error": max((one.gain_error for one in checks), default=0.0),
        "stored_error": _worst([one.stored_error for one in checks]), "level_error": _worst([one.level_error for one in checks]),
        "wrong_side": float(sum(not one.side_is_right for one in checks)),
    }  # fmt: skip
    allowed = COMPAT_TOLERANCE_DEG if engine.tetrahedron else tolerance
    if worst["wrong_side"]:
        raise InvalidValueError("left and right are exchanged", where=where, allowed="Y > 0 for what is on the left", received=worst)
    if not worst["gain_error"] <= allowed:
        raise InvalidValueError("direct sounds come from elsewhere", where=where, allowed=f"gain_error ≤ {allowed}", received=worst)
    if worst["level_error"] > LEVEL_TOLERANCE or worst["stored_error"] > STORED_TOLERANCE:
        allowed_words = f"level_error ≤ {LEVEL_TOLERANCE}, stored_error ≤ {STORED_TOLERANCE}"
        raise InvalidValueError("direct sounds have a wrong level", where=where, allowed=allowed_words, received=worst)
    return worst


def _worst(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return max(known, default=0.0)
