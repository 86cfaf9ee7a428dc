"""How the modules of a synthesiser are wired: SynthAX 0.2.2's Voice, VoiceExpanded and ParametricSynth as data."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.synthesiser import parameters
from tasks.synthesiser.parameters import Parameter

NOISE_CURVE = 0.025
"""Of Voice's noise level in torchsynth and SynthAX's declaration; SynthAX does not apply it."""


@dataclass(frozen=True)
class Oscillator:
    """One oscillator."""

    name: str
    """``vco_<n>``."""
    kind: str
    """``sine``, ``square_saw`` or ``fm``."""
    keyboard: int = 0
    """Number of the keyboard that plays it."""
    source: int = -1
    """``fm``: number of the oscillator that modulates its frequency."""


@dataclass(frozen=True)
class Layout:
    """The modules of a synthesiser. Envelope and LFO number i belong to keyboard i, or to the only one."""

    keyboards: tuple[str, ...]
    """Names."""
    envelopes: int
    """Envelopes that go into the modulation matrix."""
    lfos: int
    """Low-frequency oscillators, each with an envelope for its rate and one for its amplitude."""
    oscillators: tuple[Oscillator, ...]
    """Those that the modulation matrix steers first, then the ``fm`` carriers."""
    noise_curve: float = 1.0
    """Curve of the noise's level."""

    @property
    def steered(self) -> tuple[Oscillator, ...]:
        """Oscillators with a pitch and an amplitude from the modulation matrix."""
        return tuple(one for one in self.oscillators if one.kind != "fm")

    @property
    def mixed(self) -> tuple[int, ...]:
        """Numbers of the oscillators that are heard: all but those that modulate another one."""
        silent = {one.source for one in self.oscillators}
        return tuple(number for number in range(len(self.oscillators)) if number not in silent)

    @property
    def sources(self) -> tuple[str, ...]:
        """Inputs of the modulation matrix."""
        return (*(f"adsr_{i + 1}" for i in range(self.envelopes)), *(f"lfo_{i + 1}" for i in range(self.lfos)))

    @property
    def targets(self) -> tuple[str, ...]:
        """Outputs of the modulation matrix: pitch and amplitude of each steered oscillator, then the noise's amplitude."""
        return (*(f"{one.name}_{what}" for one in self.steered for what in ("pitch", "amp")), "noise_amp")

    def keyboard_of(self, number: int) -> int:
        """Return the keyboard of envelope or LFO ``number``."""
        return number if len(self.keyboards) > 1 else 0

    def parameters(self) -> list[Parameter]:
        """Return all parameters, module by module."""
        numbers = range(1, self.lfos + 1)
        envelopes = [f"adsr_{i + 1}" for i in range(self.envelopes)]
        envelopes += [f"lfo_{i}_rate_adsr" for i in numbers] + [f"lfo_{i}_amp_adsr" for i in numbers]
        levels = [*(self.oscillators[number].name for number in self.mixed), "noise"]
        return [
            *(one for name in self.keyboards for one in parameters.keyboard(name)),
            *(one for name in envelopes for one in parameters.adsr(name)),
            *(one for i in numbers for one in parameters.lfo(f"lfo_{i}")),
            *parameters.matrix(self.targets, self.sources),
            *(one for vco in self.oscillators for one in parameters.oscillator(vco.name, vco.kind)),
            *parameters.mixer(levels, self.noise_curve),
        ]


def voice(noise_curve: float = NOISE_CURVE) -> Layout:
    """Return Voice: one key, a sine, a square/saw, noise; 78 parameters."""
    return Layout(("keyboard",), 2, 2, (Oscillator("vco_1", "sine"), Oscillator("vco_2", "square_saw")), noise_curve)


def voicefm() -> Layout:
    """Return VoiceFM (SynthAX's VoiceExpanded): Voice and a frequency-modulated sine; 130 parameters."""
    oscillators = (Oscillator("vco_1", "sine"), Oscillator("vco_2", "square_saw"), Oscillator("vco_3", "sine"))
    return Layout(("keyboard",), 3, 3, (*oscillators, Oscillator("vco_4", "fm", source=2)))


def parametric(sine: int = 2, square_saw: int = 2, fm_sine: int = 1, fm_square_saw: int = 1) -> Layout:
    """Return ParametricSynth: so many oscillators of each kind, each with a keyboard, an envelope and an LFO; 340 parameters by default."""
    kinds = ["sine"] * sine + ["square_saw"] * square_saw + ["sine"] * fm_sine + ["square_saw"] * fm_square_saw
    steered = [Oscillator(f"vco_{i + 1}", kind, keyboard=i) for i, kind in enumerate(kinds)]
    modulating = range(sine + square_saw, len(kinds))
    carriers = [Oscillator(f"vco_{len(kinds) + n + 1}", "fm", keyboard=i, source=i) for n, i in enumerate(modulating)]
    return Layout(tuple(f"keyboard_{i + 1}" for i in range(len(kinds))), len(kinds), len(kinds), (*steered, *carriers))
