"""What every back end offers, whichever plug-in or engine is behind it."""

from __future__ import annotations

import importlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from core.contract import check_range
from core.errors import InvalidValueError, nearest

Audio = npt.NDArray[np.float32]

PSEUDO = (r"MIDI CC ", r"MIDI Ch\. ?\d+ CC \d+", r"P\d\d\d$")
"""Names of parameters that stand for MIDI controllers: frameworks add thousands, and asking each for its texts takes seconds."""
BACK_ENDS = ("pedalboard", "dexed", "dawdreamer", "builtin")
MOST_STEPS = 128
"""Parameters of more steps count as continuous, and their steps are not listed."""


@dataclass(frozen=True)
class Note:
    """One note, which begins with the clip."""

    pitch: int = 60
    """MIDI note."""
    velocity: int = 100
    """MIDI velocity."""
    hold_s: float = 2.0
    """Time the key is down."""

    def __post_init__(self) -> None:
        check_range("note.pitch", self.pitch, 0, 127)
        check_range("note.velocity", self.velocity, 1, 127)
        check_range("note.hold_s", self.hold_s, 0.001, 600.0)


@dataclass(frozen=True)
class RenderSettings:
    """How presets are rendered; all of it decides on the sound, and belongs to a data set's identity."""

    sample_rate_hz: int = 32000
    """Of the audio; that of the audio model that will listen."""
    duration_s: float = 5.0
    """Length of a clip."""
    fade_s: float = 0.1
    """Linear fade-out at the end of a clip."""
    initialization_timeout_s: float = 0.0
    """pedalboard: how long to wait for a new instance to sound. Each silent preset costs this much, and the warm-up may change the sound;
    plug-ins that load samples in the background need some."""
    buffer_samples: int = 512
    """Samples a plug-in is asked for at a time."""
    fresh: bool = True
    """A clean instance for each preset. Without it several times faster where the plug-in clears itself, which few do."""
    plugin_name: str = ""
    """Which plug-in of a file that holds several."""
    ignored: tuple[str, ...] = ()
    """Regular expressions of further parameter names to leave alone, beside those of MIDI controllers."""

    def __post_init__(self) -> None:
        where = "render"
        check_range(f"{where}.sample_rate_hz", self.sample_rate_hz, 4000, 384_000)
        check_range(f"{where}.duration_s", self.duration_s, 0.01, 600.0)
        check_range(f"{where}.fade_s", self.fade_s, 0.0, self.duration_s)
        check_range(f"{where}.initialization_timeout_s", self.initialization_timeout_s, 0.0, 600.0)
        check_range(f"{where}.buffer_samples", self.buffer_samples, 16, 65_536)
        for pattern in self.ignored:
            try:
                re.compile(pattern)
            except re.error as error:
                raise InvalidValueError("no regular expression", where=f"{where}.ignored", received=pattern, hint=str(error)) from error

    @property
    def samples(self) -> int:
        """Samples of a clip."""
        return round(self.duration_s * self.sample_rate_hz)


@dataclass(frozen=True)
class PluginParameter:
    """One parameter as a plug-in tells of it."""

    index: int
    """The plug-in's own; what :meth:`BackEnd.render` takes."""
    name: str
    """The plug-in's own, told apart by the index where two are the same."""
    default: float
    """Raw value, 0 … 1, after loading."""
    steps: int = 0
    """How many values it has; 0: continuous, or more than :data:`MOST_STEPS`."""
    labels: tuple[str, ...] = ()
    """What the plug-in calls each step."""
    values: tuple[float, ...] = ()
    """Raw value of each step; none: k / (steps − 1)."""
    unit: str = field(default="")
    """What the plug-in shows behind the value."""


class BackEnd(Protocol):
    """A loaded synthesiser. Of one process, one thread and one sample rate."""

    def parameters(self) -> list[PluginParameter]:
        """Return what can be set, without MIDI controllers in disguise."""

    def render(self, raw: Mapping[int, float], note: Note) -> Audio:
        """Play a note: float32 [channels, samples], as loud as it comes out.

        Args:
            raw: values in 0 … 1 (clamped) by index; parameters that are not named are at their default.
            note: to play.
        """

    def identity(self) -> dict[str, Any]:
        """Return what the sound hangs on beside preset and note: the plug-in, its version and digest, the host."""


def open_back_end(name: str, plugin: str, settings: RenderSettings) -> BackEnd:
    """Load a synthesiser into this process; plug-ins may end or freeze it, so other code than the pool's child should use ``pool.Pool``.

    Args:
        name: ``pedalboard`` (VST3), ``dexed``, ``dawdreamer`` (VST2, VST3, LV2 by URI, Faust) or ``builtin``.
        plugin: path, or URI, of the plug-in; the synthesiser's name for ``builtin``; empty for ``dexed``.
        settings: how to render.

    Raises:
        InvalidValueError: no such back end, its package is missing, or the plug-in cannot be loaded.
    """
    # Written out, not looked up by name: a stage's content key follows import statements.
    if name == "pedalboard":
        from tasks.renderer.pedalboard_host import PedalboardHost

        return PedalboardHost(plugin, settings)
    if name == "dexed":
        from tasks.renderer.dexed_engine import DexedEngine

        return DexedEngine(plugin, settings)
    if name == "dawdreamer":
        from tasks.renderer.dawdreamer_host import FaustSynth, HostedPlugin

        return FaustSynth(plugin, settings) if plugin.endswith(".dsp") else HostedPlugin(plugin, settings)
    if name == "builtin":
        from tasks.renderer.builtin_voice import BuiltinVoice

        return BuiltinVoice(plugin, settings)
    raise InvalidValueError("no such back end", where="renderer.backend", received=name, hint=nearest(name, BACK_ENDS))


def imported(module: str, package: str) -> Any:
    """Import a back end's own package.

    Raises:
        InvalidValueError: it is not installed here.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        hint = f"run in envs/presets (./run.sh setup presets), or install {package}, which is under the GPL 3"
        raise InvalidValueError("cannot be imported", where=module, allowed="installed", received=str(error), hint=hint) from error


def is_pseudo(name: str, settings: RenderSettings) -> bool:
    """Whether a parameter of this name stands for a MIDI controller or is to be left alone."""
    return any(re.match(pattern, name) for pattern in (*PSEUDO, *settings.ignored))


def told_apart(parameters: Sequence[PluginParameter]) -> list[PluginParameter]:
    """Give each parameter a name of its own: the index is added where two have the same, or where there is none."""
    counts = Counter(one.name for one in parameters)
    return [one if one.name and counts[one.name] == 1 else replace(one, name=f"{one.name} ({one.index})".strip()) for one in parameters]


def clamped(raw: Mapping[int, float], known: Mapping[int, Any]) -> dict[int, float]:
    """Return raw values within 0 … 1; hosts pass on whatever they are given.

    Raises:
        InvalidValueError: no such parameter, or no number.
    """
    for index, value in raw.items():
        if index not in known:
            raise InvalidValueError("no such parameter", where="renderer.raw", allowed=f"{len(known)} indices", received=index)
        if not math.isfinite(value):
            raise InvalidValueError("no number", where=f"renderer.raw.{index}", allowed="0 … 1", received=value)
    return {index: min(1.0, max(0.0, float(value))) for index, value in raw.items()}


def finished(audio: Audio, settings: RenderSettings) -> Audio:
    """Make a clip of what a back end gave out: mean of the channels, exact length, faded out, not normalised; float32 [samples]."""
    mono = np.zeros(settings.samples, np.float32)
    taken = min(audio.shape[1], settings.samples)
    # Channel by channel: a mean over an axis of one or two goes through the samples one by one, a third of what Dexed takes to play them.
    for channel in audio[:, :taken]:
        mono[:taken] += channel
    if len(audio) > 1:
        mono[:taken] /= len(audio)
    fade = round(settings.fade_s * settings.sample_rate_hz)
    if fade:
        mono[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return mono
