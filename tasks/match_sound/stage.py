"""Estimates, plays and measures; writes ``scores.json``, ``sounds.csv``, the presets that were found, and pairs to listen to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from core import atomic, audio, tables
from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from tasks.audio_models.levels import Levels
from tasks.match_sound import sources
from tasks.match_sound.sources import IN_DOMAIN, OUT_OF_DOMAIN, Audio, Source
from tasks.match_sound.spec import Request, Result
from tasks.matmul import use_fast_float32
from tasks.presets.layout import Layout
from tasks.presets.parameters import Values
from tasks.sound_matching import estimator as estimators
from tasks.sound_matching.audio_distances import MEAN, NAMES, AudioDistances, compare
from tasks.sound_matching.decoding import exact
from tasks.sound_matching.estimator import Estimator
from tasks.sound_matching.preset_scores import CATEGORIES, MAE, SWITCHES, preset_scores
from tasks.sound_matching.rerendering import Studio, open_studio

LISTEN = "listen"
"""Folder of the pairs to listen to."""
BLOCK = 16
"""Sounds that are heard at once. Fixed, so that presets do not hang on a batch size."""
SCORES = (*NAMES, MEAN, MAE, SWITCHES, CATEGORIES)


@dataclass
class Matched:
    """What was found for the sounds of a source."""

    source: Source
    presets: Values
    """Estimated [sounds, used]."""
    played: list[Audio | None]
    """What they sound like."""
    reasons: list[str]
    """Why there is nothing, where so."""
    distances: list[dict[str, float] | None]
    """Between what was played and the sound."""
    scores: dict[str, Values]
    """Of the presets, where the right ones are known."""


def run(request: Request, context: Context) -> Result:
    """Match all sounds."""
    torch.set_num_threads(context.threads)
    use_fast_float32(context.device)
    network, layout, made, _ = estimators.load(context.resolve(request.matcher), context.device)
    distances = AudioDistances(int(made["sample_rate_hz"])).to(context.device)
    plugin = str(context.locate(request.plugin)) if request.plugin else request.uri
    settings = request.settings
    found: dict[str, Matched] = {}
    with open_studio(layout.spec, made, plugin, request.workers) as studio:
        opened = []
        if request.presets:
            opened.append(sources.of_presets(request.presets, request.split, settings.most, made, studio, context))
        if request.clips:
            opened.append(sources.of_clips(request.clips, request.clips_split, settings.most, studio, context))
        for source in opened:
            found[source.kind] = matched(source, network, layout, studio, distances, context)
            check_failures(found[source.kind], settings.max_failed_share)
    others = found[IN_DOMAIN].source.sounds if IN_DOMAIN in found else []
    baselines = {kind: baseline(one.source, others, distances) for kind, one in found.items()}
    write(request, context, found, baselines, layout, int(made["sample_rate_hz"]))
    return result(found, baselines)


@torch.no_grad()
def matched(source: Source, network: Estimator, layout: Layout, studio: Studio, distances: AudioDistances, context: Context) -> Matched:
    """Estimate the preset of each sound, play it and compare."""
    heard = Levels(int(studio.made["sample_rate_hz"])).to(context.device)
    outputs = []
    for start in range(0, len(source.sounds), BLOCK):
        sounds = torch.from_numpy(np.stack(source.sounds[start : start + BLOCK]))
        # As they were kept for the training: in 16 bits.
        outputs.append(network(heard(sounds.to(context.device)).half().float()).cpu())
    presets = exact(torch.cat(outputs), layout) if outputs else np.zeros((0, layout.size), np.float32)
    played: list[Audio | None] = []
    reasons = []
    for number, (sound, reason) in enumerate(studio.render(presets, source.notes)):
        played.append(sound)
        reasons.append("" if sound is not None else reason)
        context.progress(number + 1, len(presets), "matches")
    scores = {} if source.presets is None else preset_scores(presets, source.presets, layout)
    return Matched(source, presets, played, reasons, compare(distances, played, source.sounds), scores)


def check_failures(one: Matched, most: float) -> None:
    """Refuse a source of which too many matches could not be played, or no clip be read.

    Raises:
        InvalidValueError: with the first reason.
    """
    failed = [reason for reason in one.reasons if reason] + list(one.source.unreadable.values())
    total = len(one.reasons) + len(one.source.unreadable)
    if len(failed) > most * total or len(failed) == total:
        hint = f"the first one: {failed[0]}"
        raise InvalidValueError("too many failed", where="match_sound.max_failed_share", allowed=f"{most:g} of {total}",
                                received=len(failed), hint=hint)  # fmt: skip


def baseline(source: Source, others: list[Audio], distances: AudioDistances) -> dict[str, float] | None:
    """Return the mean distances of a sound of the preset set in place of each match: what chance does.

    The sounds are in the order of their hashes, so that the next one is a random one; a sound is never taken for itself.
    """
    if not others or (source.kind == IN_DOMAIN and len(others) < 2):
        return None
    shift = 1 if source.kind == IN_DOMAIN else 0
    taken: list[Audio | None] = [others[(place + shift) % len(others)] for place in range(len(source.sounds))]
    return means(compare(distances, taken, source.sounds))


def means(rows: list[dict[str, float] | None]) -> dict[str, float] | None:
    """Return the mean of each distance over the sounds that have one."""
    told = [row for row in rows if row is not None]
    return {name: float(np.mean([row[name] for row in told])) for name in told[0]} if told else None


def summary(one: Matched, chance: dict[str, float] | None) -> dict[str, Any]:
    """Return what is known of a source, JSON-ready."""
    told: dict[str, Any] = {"sounds": len(one.source.ids), "failed": sum(map(bool, one.reasons)), "unreadable": len(one.source.unreadable)}
    told |= means(one.distances) or {}
    told |= {name: float(values.mean()) for name, values in one.scores.items() if len(values)}
    return {**told, "baseline": chance}


def result(found: dict[str, Matched], baselines: dict[str, dict[str, float] | None]) -> Result:
    """Return the stage's result."""
    told = {kind: summary(one, baselines[kind]) for kind, one in found.items()}
    own, clips = told.get(IN_DOMAIN, {}), told.get(OUT_OF_DOMAIN, {})
    return Result(
        sounds=own.get("sounds", 0), failed=own.get("failed", 0), **{name: own.get(name) for name in SCORES},
        baseline_a_mean=(own.get("baseline") or {}).get(MEAN), clips=clips.get("sounds", 0),
        clips_failed=clips.get("failed", 0) + clips.get("unreadable", 0), clips_a_mean=clips.get(MEAN),
        clips_baseline_a_mean=(clips.get("baseline") or {}).get(MEAN), table=table_of(told),
    )  # fmt: skip


def table_of(told: dict[str, dict[str, Any]]) -> str:
    """Return the scores as a table for a terminal: a row for each source and one for what chance does there."""
    titles = {"what": "sounds of", "sounds": "n", **{name: name for name in SCORES}}
    rows = []
    for kind, one in told.items():
        for what, values in ((kind, one), (f"{kind}, by chance", one["baseline"])):
            if values:
                cells = {name: "" if values.get(name) is None else f"{values[name]:.4f}" for name in SCORES}
                rows.append({"what": what, "sounds": str(one["sounds"]), **cells})
    return tables.as_text(titles, rows)


def write(
    request: Request, context: Context, found: dict[str, Matched], baselines: dict[str, dict[str, float] | None], layout: Layout,
    rate_hz: int,
) -> None:  # fmt: skip
    """Write everything that later stages and people read."""
    folder = context.output
    told = {kind: summary(one, baselines[kind]) for kind, one in found.items()}
    unreadable = {name: reason for one in found.values() for name, reason in one.source.unreadable.items()}
    atomic.write_json(folder / "scores.json", {
        "in_domain": told.get(IN_DOMAIN), "out_of_domain": told.get(OUT_OF_DOMAIN), "unreadable": unreadable, "matcher": request.matcher,
        "synth": layout.spec.name, "settings": to_dict(request.settings),
    })  # fmt: skip
    rows, presets, pairs = [], {}, []
    for kind, one in found.items():
        for place, identity in enumerate(one.source.ids):
            values: dict[str, Any] = {**(one.distances[place] or {}), **{name: float(part[place]) for name, part in one.scores.items()}}
            row = {"id": identity, "source": kind, "name": one.source.names[place], "reason": one.reasons[place]}
            rows.append({**row, **{name: values.get(name) for name in SCORES}})
            raw = layout.spec.raw(one.presets[place])[0]
            named = {name: float(f"{value:.9g}") for name, value in zip(layout.names, raw, strict=True)}
            presets[identity] = {"meta": {"name": one.source.names[place], "source": kind}, "parameters": named}
            match = one.played[place]
            if place < request.settings.listen and match is not None:
                pairs.append({**rows[-1], **_listened(context, identity, one.source.sounds[place], match, rate_hz)})
    tables.write_rows(folder / "sounds", rows, ["id", "source", "name", "reason", *SCORES])
    atomic.write_json(folder / "presets.json", presets)
    atomic.write_json(folder / "listen.json", pairs)


def _listened(context: Context, identity: str, target: Audio, match: Audio, rate_hz: int) -> dict[str, str]:
    """Write a sound and its match, both softened alike where one of them would clip; return their files."""
    level = min(1.0, 0.99 / max(1e-9, float(np.abs(target).max()), float(np.abs(match).max())))
    files = {}
    for what, sound in (("target", target), ("match", match)):
        path = context.output / LISTEN / f"{identity}_{what}.flac"
        audio.write(path, sound * np.float32(level), rate_hz)
        context.sample(path, f"{identity} {what}")
        files[what] = f"{LISTEN}/{path.name}"
    return files
