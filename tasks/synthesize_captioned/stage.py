"""Makes a dataset folder of captioned sounds: named ones as a microphone records them, generic ones alone, layered and in sequence."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from core import audio, dsp, keys, manifest, reuse
from core.context import Context
from tasks.synthesize_captioned.everyday import captions, recording
from tasks.synthesize_captioned.everyday.catalogue import NAMED
from tasks.synthesize_captioned.families import FAMILIES
from tasks.synthesize_captioned.spec import STAGE, Request, Result, Settings
from tasks.synthesize_captioned.words import pick

OPENINGS = ("", "the sound of ", "a recording of ")
PAIR_SHARE = 0.25
"""Share of generic clips made of two sounds."""
SECOND_SHARE = 0.08
"""Share of named clips with another named sound behind them."""


def make_clip(settings: Settings, family: str, index: int) -> tuple[audio.Samples, str, int]:
    """Return one clip, float32 [samples], its caption and its seed, which hangs on the set's seed, the family and the clip's index."""
    seed = seed_of(settings, family, index)
    rng = np.random.default_rng(seed)
    times = dsp.time_axis(settings.duration_s, settings.sample_rate_hz)
    sound, caption = (_named if family in NAMED else _generic)(rng, times, settings.sample_rate_hz, family)
    return sound.astype(np.float32), caption, seed


def seed_of(settings: Settings, family: str, index: int) -> int:
    """Return a clip's seed, below 2³²."""
    return int.from_bytes(hashlib.sha256(f"{settings.seed}/{family}/{index}".encode()).digest()[:4], "big")


def _named(rng: np.random.Generator, times: dsp.Signal, rate_hz: int, family: str) -> tuple[dsp.Signal, str]:
    """Return a named sound as a microphone records it, and its caption."""
    sound, details = NAMED[family].make(rng, times, rate_hz)
    sound, tail = recording.in_place(dsp.unit_rms(sound), rng, rate_hz)
    if rng.random() < SECOND_SHARE:
        other = sorted(NAMED)[int(rng.integers(len(NAMED)))]
        second, _ = NAMED[other].make(rng, times, rate_hz)
        sound = dsp.mix_at_snr(sound, second, rng.uniform(8, 15))
        tail += f" with {pick(rng, NAMED[other].phrases)} in the background"
    sound, noise = recording.background(sound, rng, rate_hz)
    level = rng.uniform(-36, -14)
    sound = dsp.at_level(recording.microphone(sound, rng, rate_hz), level)
    return recording.cut_off(sound, rng, rate_hz), captions.caption(rng, NAMED[family], details, tail + noise, level < -31)


def _generic(rng: np.random.Generator, times: dsp.Signal, rate_hz: int, family: str) -> tuple[dsp.Signal, str]:
    """Return a generic sound, alone or with a second one, and its caption."""
    sound, words = FAMILIES[family](rng, times, rate_hz)
    sound, words = dsp.unit_rms(sound), _with_article(words)
    if rng.random() < PAIR_SHARE:
        sound, words = _paired(rng, times, rate_hz, sound, words)
    if rng.random() < 0.35:
        sound = dsp.room(sound, rng, rate_hz, rng.uniform(0.3, 1.2), rng.uniform(0.2, 0.6))
        words += " in a reverberant room"
    if rng.random() < 0.3:
        sound = dsp.mix_at_snr(sound, dsp.coloured_noise(rng, len(times), rng.uniform(-6, 0)), rng.uniform(3, 15))
        words += " with background noise"
    level = rng.uniform(-36, -14)
    caption = f"{OPENINGS[int(rng.integers(len(OPENINGS)))]}{'a quiet, ' if level < -30 else ''}{words}".replace("a quiet, a ", "a quiet ")
    return dsp.at_level(sound, level), caption[0].upper() + caption[1:]


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


def schedule(settings: Settings, number: int) -> tuple[str, int]:
    """Return the family of clip ``number`` and which of that family's clips it is; it does not hang on how many clips there are."""
    before, after = (int(count * settings.named_share + 1e-9) for count in (number, number + 1))
    families, place = (sorted(NAMED), before) if after > before else (sorted(FAMILIES), number - before)
    return families[place % len(families)], place // len(families)


def clips(settings: Settings) -> dict[str, tuple[str, int]]:
    """Return every clip's family and which of that family's clips it is, by clip_id, which names all that decides the clip."""
    made = {}
    for number in range(settings.count):
        family, index = schedule(settings, number)
        seed = seed_of(settings, family, index)
        made[manifest.clip_id(STAGE.name, family, index, seed, settings.duration_s, settings.sample_rate_hz)] = (family, index)
    return made


def _make(settings: Settings, clip_id: str, family: str, index: int, context: Context) -> dict[str, Any]:
    """Write one clip and return its manifest row."""
    samples, caption, seed = make_clip(settings, family, index)
    path = context.output / "audio" / f"{clip_id}.wav"
    audio.write(path, samples, settings.sample_rate_hz)
    values = {"duration_s": settings.duration_s, "sample_rate_hz": settings.sample_rate_hz, "channels": 1, "split": "train"}
    return manifest.row(
        clip_id, context.published(path), STAGE.name, sha256=keys.file_digest(path), label=family, caption=caption,
        parameters={"seed": seed}, **values,
    )  # fmt: skip


def run(request: Request, context: Context) -> Result:
    """Synthesise ``count`` clips, the families of each kind in turn."""
    settings, rows = request.settings, []
    with reuse.earlier(STAGE, request, context, lambda given: dict.fromkeys(clips(given.settings), "")) as earlier:
        for clip_id, (family, index) in clips(settings).items():
            rows.append(earlier.clip(clip_id, context.output) or _make(settings, clip_id, family, index, context))
            context.progress(len(rows), settings.count)
    manifest.write(context.output, manifest.frame(rows))
    return Result(clips=len(rows), families=tuple(sorted({row["label"] for row in rows})))
