"""Synthesise random sounds of a modular synthesiser, or doppelgängers (pairs whose parameters differ a little), with their parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.contract import Stage, check_range, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="synthesize", environment="train", version=1, memory_mb=1500, time_limit_s=6 * 3600, uses_gpu=True, sharded=True)


@dataclass(frozen=True)
class Settings:
    """What to synthesise. A sound hangs on ``seed`` and its number only: the first hundred of a thousand are the same as a hundred."""

    synth: Literal["voice", "voicefm", "parametric"] = "voice"
    """The synthesiser: 78, 130 or 340 parameters."""
    backend: Literal["own", "synthax"] = "own"
    """Who renders the parameters: this project, or SynthAX 0.2.2 itself in double precision (``./run.sh setup synthax``; about 50 sounds
    a second), whose sounds all have the same noise and which knows no filter, transients or events."""
    n: int = 1000
    """Sounds, or pairs of sounds."""
    pairs: bool = True
    """Make two sounds of each draw, both a little off it, instead of the sound as drawn."""
    delta: float = 0.25
    """Standard deviation of the difference, in unit values; published studies: 0.01, 0.05, 0.1, 0.25, 0.5."""
    one_sided: bool = False
    """The first sound of a pair is exactly as drawn."""
    group_deltas: dict[str, float] = field(default_factory=dict)
    """Other deltas by group (``pitch``, ``envelope``, …) or name of parameters."""
    frozen: tuple[str, ...] = ()
    """Groups or names of parameters that both sounds of a pair share."""
    sampling: Literal["unit_uniform", "human_uniform"] = "unit_uniform"
    """Draw evenly in unit values, or in human ones as SynthAX does."""
    duration_s: float = 1.0
    """Length of a sound."""
    sample_rate_hz: int = 16000
    """Sample rate of a sound."""
    control_rate_hz: int = 480
    """Rate of envelopes and LFOs."""
    filtered: bool = False
    """With a resonant low-pass filter and an envelope of its own."""
    transients: bool = False
    """Notes begin with a click."""
    events: int = 1
    """Sounds in one clip, each with an onset and a gain of its own."""
    val_share: float = 0.1
    """Share of the draws that are validation clips; whole pairs."""
    test_share: float = 0.0
    """Share of the draws that are test clips."""
    form: Literal["flac", "wav"] = "flac"
    """FLAC of 24 bit, or WAV of 16."""
    seed: int = 0
    """Of everything."""

    def __post_init__(self) -> None:
        where = "synthesize"
        check_range(f"{where}.n", self.n, 1, 10_000_000)
        check_range(f"{where}.delta", self.delta, 0.0, 10.0)
        check_range(f"{where}.duration_s", self.duration_s, 0.05, 60.0)
        check_range(f"{where}.sample_rate_hz", self.sample_rate_hz, 4000, 192_000)
        check_range(f"{where}.control_rate_hz", self.control_rate_hz, 50, self.sample_rate_hz)
        check_range(f"{where}.events", self.events, 1, 64)
        check_range(f"{where}.val_share", self.val_share, 0.0, 1.0)
        check_range(f"{where}.test_share", self.test_share, 0.0, 1.0)
        if self.val_share + self.test_share > 1:
            received = {"val_share": self.val_share, "test_share": self.test_share}
            raise InvalidValueError(
                "more than everything", where=f"{where}.val_share", allowed="at most 1 with test_share", received=received
            )
        if self.backend == "synthax" and (self.filtered or self.transients or self.events > 1):
            received = {"filtered": self.filtered, "transients": self.transients, "events": self.events}
            raise InvalidValueError("SynthAX has none", where=f"{where}.backend", allowed="own", received=received)
        for name, value in self.group_deltas.items():
            check_range(f"{where}.group_deltas.{name}", value, 0.0, 10.0)


@dataclass(frozen=True)
class Request:
    """One set of sounds."""

    settings: Settings = field(default_factory=Settings)
    """What to synthesise."""
    shards: int = 4
    """Parts that are recorded and resumed one by one."""
    batch: int = runtime_setting(default=64)
    """Sounds rendered at once; changes no sound."""

    def __post_init__(self) -> None:
        check_range("synthesize.shards", self.shards, 1, 100_000)
        check_range("synthesize.batch", self.batch, 1, 65_536)


@dataclass(frozen=True)
class Result:
    """What was made."""

    clips: int
    """Sounds, rejected ones included."""
    parameters: int
    """Parameters of one sound."""
    seconds: float
    """Total duration."""
    silent: int
    """Sounds below 0.001 of full scale, rejected as such."""
    not_finite: int
    """Of those, sounds that came out as no numbers and were given out as silence."""
    saturation: float
    """Share of the moved parameters that ran into 0 or 1; 0 without pairs."""
