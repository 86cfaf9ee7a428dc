"""Writes ``spec.json`` (the draft), ``synth.json`` (identity, description, repeatability), ``probes.csv`` and .json, and ``audio/``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from core import atomic, audio, tables
from core.context import Context
from core.contract import to_dict
from tasks.presets.parameters import SynthSpec
from tasks.probe_synth.draft import drafted
from tasks.probe_synth.spec import Request, Result
from tasks.renderer import repeatability
from tasks.renderer.interface import Note, RenderSettings
from tasks.renderer.pool import Job, Outcome, Pool

QUIET, LOUD = 0.01, 1.0
"""RMS of a whole clip, between which synth-proxy keeps presets."""


def run(request: Request, context: Context) -> Result:
    """Describe, draft, render three times, compare."""
    settings = RenderSettings(
        sample_rate_hz=request.sample_rate_hz, duration_s=request.duration_s, fade_s=min(0.1, request.duration_s / 10),
        initialization_timeout_s=request.initialization_timeout_s, fresh=request.fresh, plugin_name=request.plugin_name,
        ignored=request.ignored,
    )  # fmt: skip
    plugin = request.uri or (str(context.locate(request.plugin)) if request.plugin else "")
    started = time.perf_counter()
    with Pool(request.backend, plugin, settings, 1, request.timeout_s) as pool:
        load_s = time.perf_counter() - started
        parameters, identity = pool.parameters(), pool.identity()
    name = request.name or str(identity.get("name") or identity.get("uri"))
    spec = drafted(name, request.backend, parameters, request.exclude, request.most_steps)
    context.log(f"{name}: {len(parameters)} parameters, {len(spec.used)} in use, loaded in {load_s:.2f} s")
    context.progress(1, 2, "rounds")
    jobs = _jobs(spec, request)
    verdict, outcomes = repeatability.probe(request.backend, plugin, settings, jobs, request.timeout_s)
    context.progress(2, 2, "rounds")
    context.log(f"{name}: {verdict.kind} ({verdict.presets} presets, three processes, two orders)")
    atomic.write_json(context.output / "spec.json", spec.to_json())
    told = {"identity": identity, "repeatability": verdict.to_json()}
    atomic.write_json(context.output / "synth.json", {**told, "parameters": [to_dict(one) for one in parameters]})
    rows = [_row(one) for one in outcomes]
    tables.write_rows(context.output / "probes", rows)
    _keep_sounds(request, context, outcomes)
    rendered = [row for row in rows if row["status"] == "ok"]
    return Result(
        parameters=len(parameters), used=len(spec.used), categories=sum(one.kind == "cat" for one in spec.used), verdict=verdict.kind,
        equal_again=verdict.equal_again, equal_reordered=verdict.equal_reordered, failed=len(rows) - len(rendered),
        outside=sum(not QUIET < row["rms"] < LOUD for row in rendered), load_s=round(load_s, 3),
        render_s=round(median(row["seconds"] for row in rendered), 6) if rendered else 0.0,
    )  # fmt: skip


def _jobs(spec: SynthSpec, request: Request) -> list[Job]:
    """Return the probes: the default preset, and presets drawn from the draft."""
    note = Note(request.pitch, request.velocity, request.hold_s)
    raw = spec.full(spec.sample(request.seed, 1, request.probes))
    indices = [one.index for one in spec.parameters]
    drawn = [Job(number, dict(zip(indices, row.tolist(), strict=True)), note) for number, row in enumerate(raw, start=1)]
    return [Job(0, {one.index: one.default for one in spec.parameters}, note), *drawn]


def _row(one: Outcome) -> dict[str, Any]:
    """Return what the tables say of a probe; number 0 is the default preset."""
    rms = None if one.audio is None else float(np.sqrt(np.mean(one.audio.astype(np.float64) ** 2)))
    return {"probe": one.id, "status": one.status, "reason": one.reason, "rms": rms, "seconds": one.seconds}


def _keep_sounds(request: Request, context: Context, outcomes: Sequence[Outcome]) -> None:
    for one in outcomes[: request.sounds]:
        if one.audio is not None:
            path = context.output / "audio" / f"probe_{one.id:04d}.wav"
            # As numbers, not as 16 bit: engines exceed full scale, and nothing is normalised.
            audio.write(path, one.audio, request.sample_rate_hz, subtype="FLOAT")
            context.sample(path, "default preset" if one.id == 0 else f"probe {one.id}")
