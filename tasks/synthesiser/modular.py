"""The synthesiser that a layout describes: control rate first, then oscillators in frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tasks.synthesiser import control, draws, oscillators
from tasks.synthesiser.draws import NoiseTable
from tasks.synthesiser.frames import Frames
from tasks.synthesiser.layouts import Layout, Oscillator
from tasks.synthesiser.low_pass import low_pass
from tasks.synthesiser.parameters import Parameter
from tasks.synthesiser.parameters import low_pass as low_pass_parameters
from tasks.synthesiser.parameters import transient as transient_parameters
from tasks.synthesiser.synthesiser import CPU_CACHED_ROWS, Synthesiser, missing_rows

EPS = 1e-6
TAU = 2 * math.pi


@dataclass
class Score:
    """What oscillators need of B sounds, on the control points of the frames."""

    human: torch.Tensor
    """Parameters in human units, [B, P]. These and the pitch are in double precision where the device has it, as what is rounded in a pitch
    adds up over a second; at control rate that costs little."""
    pitch: torch.Tensor
    """log2 of periods per sample of each steered oscillator, [B, V, C]."""
    amplitude: torch.Tensor
    """Of each steered oscillator, with its level in the mix if it is heard, and of the noise, [B, V + 1, C]."""
    cutoff_hz: torch.Tensor | None
    """Of the filter, [B, C]."""

    def rows(self, some: slice) -> Score:
        """Return some of the sounds."""
        cutoff_hz = None if self.cutoff_hz is None else self.cutoff_hz[some]
        return Score(self.human[some], self.pitch[some], self.amplitude[some], cutoff_hz)


class Modular(Synthesiser):
    """A synthesiser as its layout says.

    Args:
        name: as given to ``build``.
        layout: modules and wires.
        duration_s: length of a sound.
        sample_rate_hz: of a sound.
        control_rate_hz: of envelopes and LFOs.
        filtered: whether a resonant low-pass filter follows the mixer.
        transients: whether notes begin with a click.
        compat: faults of SynthAX to reproduce.
    """

    def __init__(
        self, name: str, layout: Layout, duration_s: float, sample_rate_hz: int, control_rate_hz: int, filtered: bool = False,
        transients: bool = False, compat: Sequence[str] = (),
    ) -> None:  # fmt: skip
        extra: list[Parameter] = [*(transient_parameters() if transients else ()), *(low_pass_parameters() if filtered else ())]
        super().__init__(name, [*layout.parameters(), *extra], duration_s, sample_rate_hz, compat)
        self.layout, self.filtered, self.transients, self.control_rate_hz = layout, filtered, transients, control_rate_hz
        self.frames = Frames(duration_s, sample_rate_hz, control_rate_hz)
        self._places = {parameter.name: place for place, parameter in enumerate(self.parameters)}
        self._tables: dict[torch.device, NoiseTable] = {}

    @property
    def samples(self) -> int:
        """Samples of one sound."""
        return self.frames.samples_count

    def prepare(self, device: torch.device) -> None:
        """Make the table of noise."""
        self._table(device)

    def mixed(self, u: torch.Tensor, seeds: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Make sounds [B, T]: control signals of all at once, then audio of so few that it stays in the processor's cache."""
        count, missing = len(u), missing_rows(len(u), u.device)
        if missing:
            rows = torch.arange(count + missing, device=u.device).clamp(max=count - 1)
            u, seeds, noise = u[rows], seeds[rows], None if noise is None else noise[rows]
        wide = torch.float32 if u.device.type == "mps" else torch.float64
        few = CPU_CACHED_ROWS if u.device.type == "cpu" else len(u)
        score = self._score(self.ranges.to_human(u.to(wide)), u.dtype)
        parts = [slice(at, at + few) for at in range(0, len(u), few)]
        made = [self._audio(score.rows(part), seeds[part], None if noise is None else noise[part]) for part in parts]
        return torch.cat(made)[:count]

    def _audio(self, score: Score, seeds: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        audio = self.frames.samples(self._oscillators(score).add_(self._noise(score, seeds, noise)))
        near = score.human.to(audio.dtype)
        if self.transients:
            audio = audio + self._transient(near, seeds)
        if score.cutoff_hz is not None:
            quality = self._value(near, "filter.resonance")
            audio = low_pass(audio, score.cutoff_hz[:, : self.frames.points], quality, self.sample_rate_hz)
        return audio

    def _value(self, human: torch.Tensor, name: str) -> torch.Tensor:
        return human[:, self._places[name]]

    def _rows(self, human: torch.Tensor, first: str, count: int, size: int) -> torch.Tensor:
        """Return ``count`` neighbouring modules of ``size`` parameters each, [B, count, size]."""
        at = self._places[first]
        return human[:, at : at + count * size].reshape(len(human), count, size)

    def _score(self, human: torch.Tensor, kind: torch.dtype) -> Score:
        """Work out everything at control rate."""
        layout = self.layout
        keys = self._rows(human, f"{layout.keyboards[0]}.midi_f0", len(layout.keyboards), 2)
        shapes, players = self._envelope_settings(human)
        note_s = keys[:, players, 1]
        made = control.envelopes(shapes, note_s, self.frames.padded, self.control_rate_hz, EPS)
        direct, rates, amounts = made[:, : layout.envelopes + 2 * layout.lfos].split((layout.envelopes, layout.lfos, layout.lfos), dim=1)
        waves = control.lfos(self._rows(human, "lfo_1.frequency", layout.lfos, 8), rates, self.control_rate_hz) * amounts
        cells = self._rows(human, f"mod_matrix.{layout.targets[0]}.{layout.sources[0]}", len(layout.targets), len(layout.sources))
        turned = control.modulated(cells, torch.cat([direct, waves], dim=1))
        bend, amplitude = turned[:, :-1:2], torch.cat([turned[:, 1::2], turned[:, -1:]], dim=1)
        cutoff_hz = self._cutoff_hz(human, made[:, -1]).to(kind) if self.filtered else None
        return Score(human, self._pitches(human, bend), (amplitude * self._gains(human)[:, :, None]).to(kind), cutoff_hz)

    def _envelope_settings(self, human: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
        """Return the settings of all envelopes, [B, N, 5], and whose keyboard each is: direct, LFO rates, LFO amounts, filter's."""
        layout = self.layout
        count = layout.envelopes + 2 * layout.lfos
        shapes = self._rows(human, "adsr_1.attack", count, 5)
        players = [layout.keyboard_of(i) for i in (*range(layout.envelopes), *range(layout.lfos), *range(layout.lfos))]
        if self.filtered:
            shapes, players = torch.cat([shapes, self._rows(human, "filter_adsr.attack", 1, 5)], dim=1), [*players, 0]
        return shapes, players

    def _pitches(self, human: torch.Tensor, bend: torch.Tensor) -> torch.Tensor:
        """Return log2 of periods per sample, [B, V, C], not yet held within MIDI notes 0 … 127."""
        steered = self.layout.steered
        base = torch.stack([self._note(human, one) for one in steered], dim=1)
        depth = torch.stack([self._value(human, f"{one.name}.mod_depth") for one in steered], dim=1)
        return self._log_rate(base[:, :, None] + depth[:, :, None] * bend)

    def _log_rate(self, midi: torch.Tensor) -> torch.Tensor:
        return (midi - 69) / 12 + math.log2(440 / self.sample_rate_hz)

    def _note(self, human: torch.Tensor, one: Oscillator) -> torch.Tensor:
        return self._value(human, f"{self.layout.keyboards[one.keyboard]}.midi_f0") + self._value(human, f"{one.name}.tuning")

    def _gains(self, human: torch.Tensor) -> torch.Tensor:
        """Return what multiplies amplitudes, [B, V + 1]: level in the mix, and for a square/saw 1 − shape/2."""
        found = []
        for number, one in enumerate(self.layout.steered):
            level = self._value(human, f"mixer.{one.name}") if number in self.layout.mixed else torch.ones_like(human[:, 0])
            found.append(level * (1 - self._value(human, f"{one.name}.shape") / 2) if one.kind == "square_saw" else level)
        return torch.stack([*found, self._value(human, "mixer.noise")], dim=1)

    def _oscillators(self, score: Score) -> torch.Tensor:
        """Return the mix of all oscillators but the noise, [B, F, L]."""
        heard, total, outs = self.layout.mixed, None, {}
        for number, one in enumerate(self.layout.oscillators):
            fm = one.kind == "fm"
            out = self._carrier(score.human, one, outs.pop(one.source)) if fm else self._steered(score, number, one)
            if number not in heard:
                outs[number] = out
            else:
                total = out if total is None else total.add_(out)
        assert total is not None
        return total

    def _steered(self, score: Score, number: int, one: Oscillator) -> torch.Tensor:
        frames, kind = self.frames, score.amplitude.dtype
        low, high = (float(self._log_rate(torch.tensor(midi, dtype=torch.float64))) for midi in (0.0, 127.0))
        rates = frames.spread(score.pitch[:, number].to(kind)).clamp_(low, high).exp2_()
        with torch.no_grad():
            exact = torch.exp2(frames.first(score.pitch[:, number]).clamp(low, high)) / rates[:, :, 0]
        phase = frames.phase(rates, self._value(score.human, f"{one.name}.initial_phase") / TAU, exact)
        if one.kind == "sine":
            wave = oscillators.sine(phase)
        else:
            depth = self._value(score.human, f"{one.name}.mod_depth").clamp(min=0)
            steepness = oscillators.partials(self._note(score.human, one) + depth).to(phase.dtype)
            wave = oscillators.square_saw(phase, steepness, self._value(score.human, f"{one.name}.shape").to(phase.dtype))
        return wave.mul_(frames.spread(score.amplitude[:, number]))

    def _carrier(self, human: torch.Tensor, one: Oscillator, modulator: torch.Tensor) -> torch.Tensor:
        """Return a frequency-modulated sine at its level: f = f0 + depth · f0 · modulator, within 0 … half the sample rate."""
        base = oscillators.midi_to_hz(self._note(human, one)) / self.sample_rate_hz
        index, near = self._value(human, f"{one.name}.mod_depth").to(modulator.dtype), base.to(modulator.dtype)
        rates = modulator.mul_((index * near)[:, None, None]).add_(near[:, None, None]).clamp_(0, 0.5)
        phase = self.frames.phase(rates, self._value(human, f"{one.name}.initial_phase") / TAU, (base / near)[:, None])
        level = self._value(human, f"mixer.{one.name}").to(modulator.dtype)
        return oscillators.sine(phase).mul_(level[:, None, None])

    def _noise(self, score: Score, seeds: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Return noise at its level, [B, F, L]."""
        loudness = score.amplitude[:, -1]
        if noise is not None:
            return self.frames.framed(noise).mul_(self.frames.spread(loudness))
        drawn = self._table(seeds.device).between_1_and_2(seeds).view(len(seeds), self.frames.padded, -1).to(loudness.dtype)
        return drawn.sub_(1.5).mul_(self.frames.spread(2 * loudness))

    def _table(self, device: torch.device) -> NoiseTable:
        if device not in self._tables:
            self._tables[device] = NoiseTable(self.frames.slots, device)
        return self._tables[device]

    def _transient(self, near: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        """Return a click at the beginning, [B, T]: a sine and noise that fall to 1/e within the decay."""
        level, decay_s, pitch, share = self._rows(near, "transient.level", 1, 4)[:, 0, :, None].unbind(1)
        times = torch.arange(self.samples, device=near.device, dtype=near.dtype) / self.sample_rate_hz
        # Fourteen decays are -120 dB; a phase of a twentieth of the decay's 0.1 s is exact enough in float32.
        tone = torch.sin(TAU * (oscillators.midi_to_hz(pitch) * times).frac())
        burst = self._table(near.device).between_1_and_2(draws.derived(seeds, draws.BURST))[:, : self.samples].to(near.dtype) * 2 - 3
        return level * torch.exp(-times / decay_s) * (tone + share * (burst - tone))

    def _cutoff_hz(self, human: torch.Tensor, envelope: torch.Tensor) -> torch.Tensor:
        """Return the filter's cut-off, [B, C]: a note, moved by the envelope in semitones."""
        cutoff, depth = (self._value(human, f"filter.{name}")[:, None] for name in ("cutoff", "depth"))
        return oscillators.midi_to_hz((cutoff + depth * envelope).clamp(12.0, 135.0))
