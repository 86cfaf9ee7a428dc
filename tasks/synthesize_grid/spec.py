"""Synthesise a grid of tones: every combination of the factors' values, one clip each, with its factors known exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from core.contract import Stage, check_range, external_path
from core.errors import InvalidValueError, nearest

STAGE = Stage(name="synthesize_grid", environment="data", version=1, memory_mb=500, time_limit_s=4 * 3600, sharded=True)

WAVEFORMS = ("sine", "triangle", "sawtooth", "square")
ENVELOPES = ("flat", "pluck", "swell", "adsr")
ORDER = ("frequency", "amplitude", "phase", "duty", "envelope", "noise", "duration", "waveform")
"""Row order, the outermost factor first."""
NOMINAL = {"waveform": WAVEFORMS, "envelope": ENVELOPES}
"""Factors with names for values, and the names there are."""
RANGES = {
    "frequency": ("Hz", 1e-3, 1e6), "amplitude": ("", 0.0, 1.0), "phase": ("°", 0.0, 360.0), "duty": ("", 0.01, 0.99),
    "noise": ("dB", -40.0, 120.0), "duration": ("s", 1e-3, 600.0),
}  # fmt: skip
"""Unit, least and greatest value of the factors with numbers for values. ``noise`` is the signal-to-noise ratio."""
MAX_CLIPS = 50_000_000


@dataclass(frozen=True)
class FactorValues:
    """The values of one factor: a list, or so many between two ends (both included)."""

    values: tuple[float | str, ...] = ()
    """Numbers, or names for ``waveform`` and ``envelope``."""
    start: float | None = None
    """First of ``num`` values, in the factor's unit."""
    stop: float | None = None
    """Last of ``num`` values."""
    num: int = 0
    """How many values."""
    scale: Literal["linear", "log"] = "linear"
    """Whether neighbours have the same distance or the same ratio."""

    def __post_init__(self) -> None:
        spaced = self.start is not None or self.stop is not None or self.num != 0
        if spaced == bool(self.values):
            raise InvalidValueError("unclear", where="factors", allowed="either values, or start, stop and num", received=self)
        if spaced and (self.start is None or self.stop is None or self.num < 1):
            raise InvalidValueError("incomplete", where="factors", allowed="start, stop and num ≥ 1 together", received=self)
        if spaced and self.scale == "log" and min(self.start or 0.0, self.stop or 0.0) <= 0:
            hint = "use scale: linear"
            raise InvalidValueError("has no logarithm", where="factors", allowed="start and stop above 0", received=self, hint=hint)
        if spaced and self.num > 1 and self.start == self.stop:
            raise InvalidValueError("one value several times", where="factors", allowed="start ≠ stop, or num=1", received=self)
        if len(set(self.values)) < len(self.values):
            raise InvalidValueError("a value occurs twice", where="factors", allowed="different values", received=list(self.values))

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values) or self.num


@dataclass(frozen=True)
class Settings:
    """The grid. The first eight are the published generator's flags, with its defaults."""

    sample_rate_hz: int = 16000
    """Sample rate. With ``Request.source``: that of the file, which does not say it."""
    freq_start_hz: float = 440.0
    """Lowest frequency."""
    freq_end_hz: float | None = None
    """Highest frequency; none: half the sample rate."""
    num_freqs: int = 400
    """Frequencies, evenly spaced."""
    amp_start: float = 0.1
    """Least amplitude, as a linear gain."""
    amp_end: float = 1.0
    """Greatest amplitude."""
    num_amps: int = 20
    """Amplitudes, evenly spaced."""
    duration_s: float = 1.0
    """Length of every clip (the longest one, where ``duration`` is a factor: shorter ones end in silence)."""
    factors: dict[str, FactorValues] = field(default_factory=dict)
    """Further factors, and other values for frequency, amplitude and waveform: {name: {values: […]} or {start, stop, num, scale}}."""
    oscillator: Literal["naive", "band_limited"] = "naive"
    """``naive``: the formulas sampled, aliasing and all, as published; ``band_limited``: only harmonics below half the sample rate."""
    legacy_time_axis: bool = False
    """Time axis of the published code, which includes the end point: every pitch is higher by samples / (samples − 1)."""
    form: Literal["parquet", "webdataset"] = "parquet"
    """How the shards are written."""
    npz: Literal["none", "upstream", "plain"] = "none"
    """Also write ``dataset.npz``: in the published layout (float64, metadata as a pickled object, compressed), or one without objects."""
    seed: int = 0
    """Of the noise; a clip's noise hangs on this and on the values of its factors."""

    def __post_init__(self) -> None:
        where = "synthesize_grid"
        check_range(f"{where}.sample_rate_hz", self.sample_rate_hz, 100, 384_000)
        check_range(f"{where}.duration_s", self.duration_s, 1e-3, 600.0)
        check_range(f"{where}.num_freqs", self.num_freqs, 1, 1_000_000)
        check_range(f"{where}.num_amps", self.num_amps, 1, 1_000_000)
        for name, values in self.resolved().items():
            _check(name, values, self)
        if self.clips > MAX_CLIPS:
            hint = "fewer values of some factors"
            raise InvalidValueError("too many clips", where=where, allowed=f"at most {MAX_CLIPS}", received=self.clips, hint=hint)

    @property
    def samples(self) -> int:
        """Samples of every clip."""
        return round(self.duration_s * self.sample_rate_hz)

    @property
    def clips(self) -> int:
        """Clips of the grid."""
        return math.prod(values.size for values in self.resolved().values())

    def resolved(self) -> dict[str, FactorValues]:
        """Return the values of every factor of the grid, in row order: frequency, amplitude and waveform always, others if given."""
        for name in self.factors:
            if name not in ORDER:
                raise InvalidValueError("no such factor", where=f"factors.{name}", received=name, hint=nearest(name, ORDER))
        end_hz = self.sample_rate_hz / 2 if self.freq_end_hz is None else self.freq_end_hz
        found = {
            "frequency": _between(self.freq_start_hz, end_hz, self.num_freqs),
            "amplitude": _between(self.amp_start, self.amp_end, self.num_amps),
            "waveform": FactorValues(WAVEFORMS),
            **self.factors,
        }
        return {name: found[name] for name in ORDER if name in found}


def _between(start: float, stop: float, num: int) -> FactorValues:
    return FactorValues(start=start, stop=stop, num=num)


def _check(name: str, values: FactorValues, settings: Settings) -> None:
    """Refuse values that a factor cannot have."""
    where = f"factors.{name}"
    if name in NOMINAL:
        unknown = [value for value in values.values if value not in NOMINAL[name]]
        if unknown or not values.values:
            raise InvalidValueError("unknown value", where=where, allowed=list(NOMINAL[name]), received=unknown or values)
        return
    _, low, high = RANGES[name]
    high = {"frequency": settings.sample_rate_hz / 2, "duration": settings.duration_s}.get(name, high)
    for value in values.values or (values.start, values.stop):
        if isinstance(value, str) or value is None:
            raise InvalidValueError("not a number", where=where, allowed=f"{low:g} … {high:g}", received=value)
        check_range(where, value, low, high)


@dataclass(frozen=True)
class Request:
    """One grid."""

    settings: Settings = field(default_factory=Settings)
    """What to synthesise, and how to write it."""
    shards: int = 8
    """Parts that are recorded and resumed one by one."""
    source: str = external_path(default="")
    """A published ``.npz`` file to take the clips from, instead of synthesising them. Of the settings only ``sample_rate_hz``, ``form`` and
    ``npz`` then count."""

    def __post_init__(self) -> None:
        check_range("synthesize_grid.shards", self.shards, 1, 100_000)


@dataclass(frozen=True)
class Result:
    """What was made."""

    clips: int
    """Clips of the grid."""
    samples: int
    """Samples of each."""
    seconds: float
    """Total duration."""
    silent: int
    """Clips without any sound, such as an exact sine at half the sample rate."""
    megabytes: float
    """Size of the shards, in 10⁶ bytes."""
    ambiguous_timbre: float
    """Share of the frequencies at which at least two waveforms have no second partial below half the sample rate."""
    warnings: tuple[str, ...]
    """What a user of the grid must know; also in ``grid.json`` and the card."""
