"""Writes a preset set (``tasks/presets/reading.py``): presets.json, parameters.npy, embeddings.npy, audio.npy, mel.npy, tables.

Presets made by hand also leave ``kept.json`` and ``removed.json``, spectrograms ``mel_statistics.json``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core import atomic
from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from core.rows import shard_rows
from tasks.audio_models import levels
from tasks.presets import reading
from tasks.presets.parameters import SynthSpec
from tasks.render_presets import joining, listening, set_files, shard_files
from tasks.render_presets.listening import Listener
from tasks.render_presets.plan import Drawn, Given, plan_of, repeatability
from tasks.render_presets.rendering import NOT_FINITE, Decided, Stream, parameters_of
from tasks.render_presets.spec import Request, Result, Settings
from tasks.renderer.interface import RenderSettings
from tasks.renderer.pool import Pool

SOUNDLESS = ("too soft", "too loud", NOT_FINITE)
"""Reasons that are the preset's own; the others are failures of the plug-in."""
OF_THE_HOST = ("initialization_timeout_s", "buffer_samples", "fresh", "plugin_name", "ignored")
"""Settings of rendering that belong to the plug-in's identity, since its sound may hang on them."""
LEAST_LOST = 10
"""Losses of a shard below which its share is not looked at."""


@dataclass(frozen=True)
class Shape:
    """Kind of number and shape of a row of each array."""

    kinds: dict[str, str]
    """By the array's name."""
    shapes: dict[str, tuple[int, ...]]
    """Likewise."""


def render_settings(settings: Settings, rate_hz: int) -> RenderSettings:
    """Return what the pool is told."""
    return RenderSettings(
        rate_hz, settings.duration_s, settings.fade_s, settings.initialization_timeout_s, settings.buffer_samples, settings.fresh,
        settings.plugin_name,
    )  # fmt: skip


def open_pool(request: Request, context: Context, spec: SynthSpec, rate_hz: int) -> Pool:
    """Return the pool that renders; the plug-in runs in its children."""
    settings = request.settings
    backend = settings.backend or spec.backend
    if not backend:
        allowed = "pedalboard, dexed, dawdreamer or builtin"
        raise InvalidValueError("the spec names none", where="render_presets.backend", allowed=allowed, received="")
    plugin = str(context.locate(settings.plugin)) if settings.plugin else settings.uri
    return Pool(
        backend, plugin, render_settings(settings, rate_hz), request.workers, settings.timeout_s, request.recycle_renders,
        request.recycle_mb,
    )  # fmt: skip


def shape_of(settings: Settings, spec: SynthSpec, dimensions: int, samples: int) -> Shape:
    """Return what the arrays of a set hold."""
    kinds: dict[str, str] = {"parameters": "float32"}
    shapes: dict[str, tuple[int, ...]] = {"parameters": (len(spec.used),)}
    if settings.audio_model:
        kinds["embeddings"], shapes["embeddings"] = "float32", (dimensions,)
    if settings.audio_clips:
        kinds["audio"], shapes["audio"] = settings.audio_type, (samples,)
    if settings.mel_clips:
        kinds["mel"], shapes["mel"] = "float16", (levels.MEL_BANDS, levels.frames(samples))
    return Shape(kinds, shapes)


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Render each shard's numbers, and write what is kept of them."""
    settings = request.settings
    plan = plan_of(settings, context)
    model = listening.model_of(settings, context)
    rate_hz = listening.rate_of(settings, model)
    listener = Listener(model, rate_hz, context.device)
    ranges = [plan.numbers[some.start : some.stop] for some in shard_rows(len(plan.numbers), request.shards)]
    total, done = sum(len(ranges[shard]) for shard in shards), 0
    with open_pool(request, context, plan.spec, rate_hz) as pool:
        _check_indices(plan.spec, pool)
        made = _circumstances(request, plan.spec, pool, listener, rate_hz)
        for shard in shards:
            with context.shard(shard) as folder:
                for step in _rendered(settings, plan, ranges[shard], pool, listener, made, folder):
                    done += step
                    context.progress(done, total, "presets")


def _rendered(
    settings: Settings, plan: Drawn | Given, numbers: range, pool: Pool, listener: Listener, made: dict[str, Any], folder: Path
) -> Iterator[int]:
    """Render one shard into its folder; yield the size of each finished block."""
    shape = shape_of(settings, plan.spec, made["dimensions"], made["samples"])
    kept = {"audio": _limit(settings.audio_clips, plan.numbers), "mel": _limit(settings.mel_clips, plan.numbers)}
    rows: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    with shard_files.ArrayFiles(folder, shape.kinds) as files:
        for block in Stream(plan, numbers, (settings.min_rms, settings.max_rms)).blocks(pool):
            good = [one for one in block if one.audio is not None]
            _write(files, shape, listener, good, kept)
            rows += [_row(one) for one in good]
            rejected += [_loss(plan, one) for one in block if one.audio is None]
            _check_losses(settings, plan, rejected, len(numbers))
            yield len(block)
    shard_files.tell(folder, {"start": numbers.start, "stop": numbers.stop, "made": made, "rows": rows, "rejected": rejected})


def _limit(clips: int, numbers: range) -> int:
    """Return the number below which sounds are kept."""
    return numbers.stop if clips < 0 else numbers.start + clips


def _write(files: shard_files.ArrayFiles, shape: Shape, listener: Listener, good: list[Decided], kept: dict[str, int]) -> None:
    if not good:
        return
    files.add("parameters", np.stack([one.values for one in good]))
    sounds = [one.audio for one in good if one.audio is not None]
    if "embeddings" in shape.kinds:
        files.add("embeddings", listener.embeddings(sounds))
    for one, sound in zip(good, sounds, strict=True):
        if "audio" in shape.kinds and one.number < kept["audio"]:
            files.add("audio", sound)
        if "mel" in shape.kinds and one.number < kept["mel"]:
            files.add("mel", listener.spectrogram(sound))


def _row(one: Decided) -> dict[str, Any]:
    return {
        "index": one.number, "tries": one.tries, "rms": float(f"{one.rms:.6g}"), "note": one.note.pitch, "velocity": one.note.velocity,
    }  # fmt: skip


def _loss(plan: Drawn | Given, one: Decided) -> dict[str, Any]:
    told = json.dumps(parameters_of(plan, one.values))
    rms = None if math.isnan(one.rms) else float(f"{one.rms:.6g}")
    return {"index": one.number, "reason": one.reason, "tries": one.tries, "rms": rms, "parameters": told}


def _failures(plan: Drawn | Given, rejected: list[dict[str, Any]]) -> int:
    """Return how many losses count against ``max_lost_share``: a silent preset made by hand is nobody's failure."""
    return sum(isinstance(plan, Drawn) or row["reason"] not in SOUNDLESS for row in rejected)


def _check_losses(settings: Settings, plan: Drawn | Given, rejected: list[dict[str, Any]], presets: int) -> None:
    """Give up early where a shard loses more than twice the share that the whole set may lose: something is wrong then, not unlucky.

    Raises:
        InvalidValueError: with the last reason.
    """
    lost = _failures(plan, rejected)
    if lost >= LEAST_LOST and lost > 2 * settings.max_lost_share * presets:
        hint = f"the last one: {rejected[-1]['reason']}"
        allowed = f"{settings.max_lost_share:g} of all, twice that in a shard of {presets}"
        raise InvalidValueError("too many lost", where="render_presets.max_lost_share", allowed=allowed, received=lost, hint=hint)


def _check_indices(spec: SynthSpec, pool: Pool) -> None:
    """Refuse a spec whose parameters the plug-in does not have.

    Raises:
        InvalidValueError: with their names.
    """
    known = {one.index for one in pool.parameters()}
    if strange := [one.name for one in spec.parameters if one.index not in known]:
        hint = "draft a spec of this plug-in with probe_synth"
        allowed = f"{len(known)} indices up to {max(known, default=-1)}"
        raise InvalidValueError(
            "the plug-in has no such parameters", where="render_presets.spec", allowed=allowed, received=strange[:5], hint=hint
        )


def _circumstances(request: Request, spec: SynthSpec, pool: Pool, listener: Listener, rate_hz: int) -> dict[str, Any]:
    """Return what a shard's sounds hang on; alike in all shards of a set, and told of it."""
    settings, model = request.settings, listener.model
    rendering = render_settings(settings, rate_hz)
    told, samples = to_dict(rendering), rendering.samples
    return {
        "spec_digest": spec.digest, "backend": settings.backend or spec.backend,
        "plugin": {**pool.identity(), "settings": {name: told[name] for name in OF_THE_HOST}}, "timeout_s": settings.timeout_s,
        "midi": {"notes": list(settings.notes), "velocities": list(settings.velocities), "hold_s": settings.hold_s},
        "sample_rate_hz": rate_hz, "duration_s": settings.duration_s, "fade_s": settings.fade_s, "samples": samples,
        "audio_model": model.identity if model else "", "dimensions": model.dimensions if model else 0, "seed": settings.seed,
        "includes_mel": bool(model and model.includes_mel), "rms": [settings.min_rms, settings.max_rms], "max_tries": settings.max_tries,
        "origin": "hand_crafted" if settings.presets else "sampled",
    }  # fmt: skip


def run(request: Request, context: Context) -> Result:
    """Put the shards together."""
    settings = request.settings
    plan = plan_of(settings, context)
    folders, told = joining.ordered([context.shard_folder(shard) for shard in range(request.shards)], plan.numbers)
    made = told[0]["made"]
    rejected = [row for one in told for row in one["rejected"]]
    failures = _failures(plan, rejected)
    if failures > settings.max_lost_share * len(plan.numbers):
        received = f"{failures} of {len(plan.numbers)}"
        raise InvalidValueError("too many lost", where="render_presets.max_lost_share", allowed=settings.max_lost_share, received=received)
    if len(rejected) == len(plan.numbers):
        where, allowed = "render_presets", f"an RMS within {settings.min_rms:g} … {settings.max_rms:g}"
        raise InvalidValueError("no preset is left", where=where, allowed=allowed, received=f"{len(rejected)} rejected")
    shape = shape_of(settings, plan.spec, made["dimensions"], made["samples"])
    files = {"parameters": reading.PARAMETERS, "embeddings": reading.EMBEDDINGS, "audio": reading.AUDIO, "mel": reading.MEL}
    counts = {
        name: joining.join(folders, name, kind, shape.shapes[name], context.output / files[name]) for name, kind in shape.kinds.items()
    }
    table = set_files.table_of(
        settings, plan, [row for one in told for row in one["rows"]], np.load(context.output / reading.PARAMETERS, mmap_mode="r")
    )
    set_files.write_table(context.output / reading.TABLE, table)
    set_files.write_table(
        context.output / reading.REJECTED, pd.DataFrame(rejected, columns=["index", "reason", "tries", "rms", "parameters"])
    )
    if "mel" in counts:
        set_files.write_mel_statistics(context.output, table)
    if isinstance(plan, Given):
        set_files.write_lists(context.output, plan, table, rejected)
    spec = {"spec": plan.spec.to_json(), "rows": len(table), "names": table["name"].tolist() if settings.presets else None}
    numbers = {"numbers": [plan.numbers.start, plan.numbers.stop], "repeatability": repeatability(settings, context)}
    atomic.write_json(context.output / reading.META, {**made, **spec, **numbers})
    crashed = sum(row["reason"] not in SOUNDLESS for row in rejected)
    if rejected:
        context.log(f"{len(rejected)} of {len(plan.numbers)} presets are missing, {crashed} of them since the plug-in failed")
    return Result(
        rows=len(table), parameters=len(plan.spec.used), dimensions=made["dimensions"],
        draws=int(table["tries"].sum()) + sum(row["tries"] for row in rejected), rejected=len(rejected), crashed=crashed,
        removed=len(plan.presets.removed) if isinstance(plan, Given) else 0, kept_sounds=counts.get("audio", 0),
    )  # fmt: skip
