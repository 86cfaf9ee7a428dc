"""What generation starts from: a gold clip's latent, or one of the variations of it that the published method lacks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import soxr
import torch

from core import audio
from core.context import Context
from tasks.generate.jobs import Job
from tasks.generate.spec import Settings
from tasks.text_to_audio.model import TextToAudio

REMEMBERED = 64
STRETCHES = 6
"""About so many turns of the random curve that decides which clip a moment comes from."""
TILT_PLACES = 5
CROSSFADE = 0.04
"""Width of a crossover, as a share of the length."""


@dataclass(frozen=True)
class Start:
    """Where one clip starts."""

    latent: torch.Tensor
    """[1, channels, frames]."""
    sound: audio.Samples
    """[samples], which the latent is of."""
    partner: str = ""
    """The second clip in it: a gold clip, or where ``pooled`` the clip of the pool that it is made of."""
    pooled: bool = False
    """Whether it is a clip of the pool; there is then no gold clip in it."""


class Starts:
    """Makes starts; sounds and latents of the gold clips used last are kept."""

    def __init__(
        self, model: TextToAudio, gold: pd.DataFrame, settings: Settings, context: Context, pool: pd.DataFrame | None = None
    ) -> None:
        self._model, self._settings, self._context = model, settings, context
        self._of_label = _by_label(gold)
        self._pool = {} if pool is None else _by_label(pool)
        self._sounds: dict[str, audio.Samples] = {}
        self._latents: dict[str, torch.Tensor] = {}

    def sound(self, path: str) -> audio.Samples:
        """Return a clip at the model's rate, [samples]."""
        if path not in self._sounds:
            self._sounds = dict(list(self._sounds.items())[-REMEMBERED:])
            self._sounds[path] = audio.load_mono(self._context.resolve(path), self._model.sample_rate_hz)
        return self._sounds[path]

    def start(self, job: Job) -> Start:
        """Return a clip's start; every random choice in it hangs on the clip's own seed."""
        settings, rng = self._settings, np.random.default_rng([job.seed, 1])
        pooled = self._from_pool(job)
        if pooled:
            return pooled
        gold = self.sound(job.gold_path)
        own = self._varied(gold, len(gold), rng)
        latent = self._encoded(job.gold_path, own)
        others = [item for item in self._of_label.get(job.label, []) if item[0] != job.gold_id]
        if not settings.init_mix or not others:
            return Start(latent, own)
        partner, path = others[int(rng.integers(len(others)))]
        other = self.sound(path)
        share = crossover(latent.shape[-1], settings.init_mix, rng)
        # A shorter partner is repeated: its stretches must not fall into the silence behind it.
        fitted = self._varied(other, len(own), rng)
        with_partner = self._encoded(f"{path} {len(own)}", fitted)
        weight = torch.from_numpy(share).to(latent)
        # The latent may cover more than the sound: its canvas is as long as the longest clip.
        moments = np.arange(len(own)) / (self._model.canvas_s * self._model.sample_rate_hz) * (len(share) - 1)
        heard = np.interp(moments, np.arange(len(share)), share).astype(np.float32)
        return Start((1 - weight) * latent + weight * with_partner, (1 - heard) * own + heard * fitted, partner)

    def _from_pool(self, job: Job) -> Start | None:
        """Return a start made of a clip of the pool, as long as the gold clip; None where the start is the gold clip's."""
        others = self._pool.get(job.label, [])
        rng = np.random.default_rng([job.seed, 2])
        if not others or rng.random() >= self._settings.init_pool:
            return None
        partner, path = others[int(rng.integers(len(others)))]
        sound = self._varied(self.sound(path), len(self.sound(job.gold_path)), rng)
        return Start(self._encoded(f"{path} {len(sound)}", sound), sound, partner, pooled=True)

    def _varied(self, sound: audio.Samples, length: int, rng: np.random.Generator) -> audio.Samples:
        """Return a clip at the given length under its own random speed, shift and filter."""
        settings, rate_hz = self._settings, self._model.sample_rate_hz
        if settings.init_speed:
            limit = np.log1p(settings.init_speed)
            sound = soxr.resample(sound, rate_hz, rate_hz / float(np.exp(rng.uniform(-limit, limit)))).astype(np.float32)
        sound = audio.repeat_to(sound, length)
        if settings.init_roll:
            sound = np.roll(sound, int(rng.integers(0, max(1, length))))
        return tilted(sound, rate_hz, settings.init_tilt_db, rng) if settings.init_tilt_db else sound

    def _encoded(self, name: str, sound: audio.Samples) -> torch.Tensor:
        """Encode one sound, alone: lengths differ, and a latent must not depend on its neighbours. Unvaried sounds are remembered."""
        settings = self._settings
        fresh = bool(settings.init_roll or settings.init_speed or settings.init_tilt_db)
        if not fresh and name in self._latents:
            return self._latents[name]
        latent = self._model.encode(torch.from_numpy(np.ascontiguousarray(sound))[None].to(self._context.device))
        if not fresh:
            self._latents = dict(list(self._latents.items())[-REMEMBERED:])
            self._latents[name] = latent
        return latent


def _by_label(table: pd.DataFrame) -> dict[str, list[tuple[str, str]]]:
    """Return ids and paths of a table's clips by label, in the order of the ids."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in table.sort_values("clip_id").to_dict("records"):
        found.setdefault(str(row["label"]), []).append((str(row["clip_id"]), str(row["path"])))
    return found


def tilted(sound: audio.Samples, rate_hz: int, spread_db: float, rng: np.random.Generator) -> audio.Samples:
    """Return a sound under a random filter without phase.

    Normal gains at five places from 0 to the highest frequency, straight lines in dB between them, on the Bark scale (Traunmüller,
    1990), on which equal steps sound equally wide.
    """
    frequencies_hz = np.fft.rfftfreq(len(sound), 1 / rate_hz)
    bark = 26.81 * frequencies_hz / (1960 + frequencies_hz) - 0.53
    gains_db = np.interp(bark, np.linspace(bark[0], bark[-1], TILT_PLACES), rng.normal(0, spread_db, TILT_PLACES))
    return np.fft.irfft(np.fft.rfft(sound) * 10 ** (gains_db / 20), len(sound)).astype(np.float32)


def crossover(frames: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return how much of each frame comes from the second clip, [frames] from 0 to 1, about ``share`` in the mean.

    A smooth random curve is cut at the level that leaves ``share`` of it above: where it is above, the second clip sounds. The steps
    between the two are rounded off with a Hann window.
    """
    times, orders = np.arange(frames) / frames, np.arange(1, STRETCHES + 1)
    amplitudes, phases = rng.standard_normal(len(orders)), rng.uniform(0, 2 * np.pi, len(orders))
    curve = (amplitudes[:, None] * np.cos(np.pi * orders[:, None] * times + phases[:, None])).sum(0)
    above = (curve > np.quantile(curve, 1 - share)).astype(float)
    half = max(1, round(CROSSFADE * frames / 2))
    window = np.hanning(2 * half + 3)[1:-1]
    return np.convolve(np.pad(above, half, mode="edge"), window / window.sum(), mode="valid").clip(0, 1).astype(np.float32)
