"""Makes a dataset folder of captioned sounds: single ones, layered pairs and sequences, some in a room, some in noise."""

from __future__ import annotations

import hashlib

import numpy as np

from core import audio, dsp, keys, manifest
from core.context import Context
from tasks.synthesize_captioned.families import FAMILIES
from tasks.synthesize_captioned.spec import STAGE, Request, Result, Settings

OPENINGS = ("", "the sound of ", "a recording of ")
PAIR_SHARE = 0.25
"""Share of clips made of two sounds."""


def make_clip(settings: Settings, family: str, index: int) -> tuple[audio.Samples, str, int]:
    """Return one clip, float32 [samples], its caption and its seed."""
    seed = int.from_bytes(hashlib.sha256(f"{settings.seed}/{family}/{index}".encode()).digest()[:4], "big")
    rng = np.random.default_rng(seed)
    times = dsp.time_axis(settings.duration_s, settings.sample_rate_hz)
    sound, words = FAMILIES[family](rng, times, settings.sample_rate_hz)
    sound, words = dsp.unit_rms(sound), _with_article(words)
    if rng.random() < PAIR_SHARE:
        sound, words = _paired(rng, times, settings.sample_rate_hz, sound, words)
    if rng.random() < 0.35:
        sound = dsp.room(sound, rng, settings.sample_rate_hz, rng.uniform(0.3, 1.2), rng.uniform(0.2, 0.6))
        words += " in a reverberant room"
    if rng.random() < 0.3:
        sound = dsp.mix_at_snr(sound, dsp.coloured_noise(rng, len(times), rng.uniform(-6, 0)), rng.uniform(3, 15))
        words += " with background noise"
    level = rng.uniform(-36, -14)
    caption = f"{OPENINGS[int(rng.integers(len(OPENINGS)))]}{'a quiet, ' if level < -30 else ''}{words}".replace("a quiet, a ", "a quiet ")
    return dsp.at_level(sound, level).astype(np.float32), caption[0].upper() + caption[1:], seed


def _with_article(words: str) -> str:
    plural = words.split()[-1] in ("knocks",) or words.endswith(("noise", "crackling", "bursts of noise", "fading"))
    return words if plural and not words.startswith(("slow row", "steady row")) else f"a {words}"


def _paired(rng: np.random.Generator, times: dsp.Signal, rate_hz: int, sound: dsp.Signal, words: str) -> tuple[dsp.Signal, str]:
    """Layer a second sound over the first, or let it follow."""
    other = sorted(FAMILIES)[int(rng.integers(len(FAMILIES)))]
    second, second_words = FAMILIES[other](rng, times, rate_hz)
    second, second_words = dsp.unit_rms(second), _with_article(second_words)
    if rng.random() < 0.5:
        return sound + rng.uniform(0.4, 0.9) * second, f"{words} over {second_words}"
    fade = 1 / (1 + np.exp(-(times - times[-1] / 2) * 60))
    return (1 - fade) * sound + fade * second, f"{words} followed by {second_words}"


def run(request: Request, context: Context) -> Result:
    """Synthesise ``count`` clips, the families in turn."""
    settings, rows, families = request.settings, [], sorted(FAMILIES)
    for number in range(settings.count):
        family = families[number % len(families)]
        samples, caption, seed = make_clip(settings, family, number // len(families))
        clip_id = manifest.clip_id(STAGE.name, family, number // len(families), seed, settings.duration_s, settings.sample_rate_hz)
        path = context.output / "audio" / f"{clip_id}.wav"
        audio.write(path, samples, settings.sample_rate_hz)
        values = {"duration_s": settings.duration_s, "sample_rate_hz": settings.sample_rate_hz, "channels": 1, "split": "train"}
        rows.append(
            manifest.row(
                clip_id, context.published(path), STAGE.name, sha256=keys.file_digest(path), label=family, caption=caption,
                parameters={"seed": seed}, **values,
            )
        )  # fmt: skip
        context.progress(number + 1, settings.count)
    manifest.write(context.output, manifest.frame(rows))
    return Result(clips=len(rows), families=tuple(families))
