"""Load a synthesiser, draft the spec of its parameters, and find out whether it plays the same preset the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path, runtime_setting
from core.errors import InvalidValueError

# Not deterministic: seconds are among the results.
STAGE = Stage(name="probe_synth", environment="presets", version=1, memory_mb=1500, time_limit_s=3600, deterministic=False)


@dataclass(frozen=True)
class Request:
    """One synthesiser to look at."""

    backend: Literal["pedalboard", "dexed", "dawdreamer", "builtin"] = "pedalboard"
    """What plays it: ``pedalboard`` hosts VST3; ``dawdreamer`` VST2, VST3, LV2 and Faust; the others are synthesisers themselves."""
    plugin: str = external_path(default="")
    """The plug-in's file or bundle; empty for ``dexed``, ``builtin`` and LV2."""
    uri: str = ""
    """Instead of a file: an LV2 plug-in's URI, or which synthesiser of ``builtin`` (``voice``, ``voicefm``, ``parametric``)."""
    name: str = ""
    """Of the spec; the synthesiser's own by default."""
    plugin_name: str = ""
    """Which plug-in of a file that holds several."""
    exclude: tuple[str, ...] = ()
    """Names and patterns (``abc*``, ``*abc``, ``*abc*``) of parameters to leave at their default, in the draft and while probing."""
    ignored: tuple[str, ...] = ()
    """Regular expressions of parameter names that are not even described, beside those of MIDI controllers."""
    most_steps: int = 32
    """A parameter of more steps is drafted as a continuous number."""
    probes: int = 20
    """Presets to render three times."""
    seed: int = 0
    """Of the presets."""
    sample_rate_hz: int = 32000
    """Of the audio."""
    duration_s: float = 5.0
    """Length of a clip."""
    pitch: int = 60
    """MIDI note."""
    velocity: int = 100
    """MIDI velocity."""
    hold_s: float = 2.0
    """Time the key is down."""
    initialization_timeout_s: float = 0.0
    """pedalboard: how long to wait for a new instance to sound; decides on the sound, and each silent preset costs this much."""
    fresh: bool = True
    """A clean instance for each preset."""
    sounds: int = 4
    """Probes that are kept as sound files."""
    timeout_s: float = runtime_setting(default=30.0)
    """Limit of one preset."""

    def __post_init__(self) -> None:
        where = "probe_synth"
        if self.plugin and self.uri:
            raise InvalidValueError("either, or", where=f"{where}.uri", allowed="a file or a URI", received=[self.plugin, self.uri])
        if not (self.plugin or self.uri) and self.backend in ("pedalboard", "dawdreamer"):
            raise InvalidValueError("nothing to load", where=f"{where}.plugin", allowed="a plug-in", received="")
        check_range(f"{where}.most_steps", self.most_steps, 2, 128)
        check_range(f"{where}.probes", self.probes, 2, 10_000)
        check_range(f"{where}.sample_rate_hz", self.sample_rate_hz, 4000, 384_000)
        check_range(f"{where}.duration_s", self.duration_s, 0.01, 600.0)
        check_range(f"{where}.pitch", self.pitch, 0, 127)
        check_range(f"{where}.velocity", self.velocity, 1, 127)
        check_range(f"{where}.hold_s", self.hold_s, 0.001, 600.0)
        check_range(f"{where}.initialization_timeout_s", self.initialization_timeout_s, 0.0, 600.0)
        check_range(f"{where}.sounds", self.sounds, 0, 1000)
        check_range(f"{where}.timeout_s", self.timeout_s, 0.01, 3600.0)


@dataclass(frozen=True)
class Result:
    """What was found. ``spec.json`` is the draft, to be corrected by hand; ``synth.json`` and ``probes.csv`` hold the rest."""

    parameters: int
    """Parameters of the synthesiser, MIDI controllers left out."""
    used: int
    """Of those, parameters that the draft leaves in use."""
    categories: int
    """Of those, parameters drafted as categories."""
    verdict: Literal["deterministic", "order_dependent", "random"]
    """Same samples always; only in the same order; or not even that."""
    equal_again: float
    """Share of the presets with the same samples in another process."""
    equal_reordered: float
    """Share of the presets with the same samples after other presets."""
    failed: int
    """Presets that crashed, hung, raised or were not made of numbers."""
    outside: int
    """Presets that rendered and whose RMS is not within 0.01 … 1."""
    load_s: float
    """Starting a process and loading took."""
    render_s: float
    """Rendering a preset took, median."""
