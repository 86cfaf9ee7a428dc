"""Writes ``audio/<clip>.flac``, the manifest, ``parameters.npy`` [clips, P] in the manifest's order, and ``synthesiser.json``."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import atomic, audio, keys, manifest
from core.context import Context
from core.contract import to_dict
from core.rows import shard_rows
from tasks.synthesiser import Synthesiser, draws
from tasks.synthesiser.asked import pairs_of, synthesiser_of
from tasks.synthesiser.pairs import Pairs, stream
from tasks.synthesiser.synthesiser import SILENT_PEAK
from tasks.synthesize.spec import STAGE, Request, Result, Settings
from tasks.synthesize.synthax_backend import SynthAX

ROWS, UNITS = "rows.json", "units.npy"
VIEWS = ("a", "b")
SPLIT_STREAM = 64
"""Of the draw that decides on a sound's split; above all that ``draws`` names."""


def seeds_of(settings: Settings, numbers: range) -> list[int]:
    """Return the seed of each draw, which hangs on the set's seed and the draw's number."""
    return [stream(settings.seed, 0, number, 1)[0] for number in numbers]


def splits_of(settings: Settings, seeds: list[int]) -> list[str]:
    """Return the split of each draw, from its seed: a draw keeps it however many there are."""
    places = draws.uniform(draws.as_tensor(seeds), SPLIT_STREAM, 1)[:, 0].tolist()
    val, test = settings.val_share, settings.val_share + settings.test_share
    return ["val" if place < val else "test" if place < test else "train" for place in places]


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Render the draws of each shard, and write its sounds and rows."""
    settings = request.settings
    synthesiser = synthesiser_of(settings)
    with SynthAX(settings, synthesiser) if settings.backend == "synthax" else nullcontext() as theirs:
        _run_shards(request, context, shards, synthesiser, theirs)


def _run_shards(request: Request, context: Context, shards: list[int], synthesiser: Synthesiser, theirs: SynthAX | None) -> None:
    settings = request.settings
    pairs = pairs_of(settings, synthesiser)
    ranges = shard_rows(settings.n, request.shards)
    total, done = sum(len(ranges[shard]) for shard in shards), 0
    for shard in shards:
        numbers = ranges[shard]
        with context.shard(shard) as folder:
            rows, units, beyond = [], [np.zeros((0, len(synthesiser)), np.float32)], 0.0
            before = synthesiser.tally.not_finite
            for at in range(0, len(numbers), request.batch):
                some = numbers[at : at + request.batch]
                sounds, parameters, saturation = _rendered(settings, synthesiser, pairs, some, context.device, theirs)
                beyond += saturation * len(some)
                rows += _written(settings, folder, some, sounds, parameters)
                units.append(parameters.reshape(-1, len(synthesiser)))
                done += len(some)
                context.progress(done, total, "pairs" if settings.pairs else "clips")
            np.save(folder / UNITS, np.concatenate(units))
            (folder / ROWS).write_text(json.dumps({"rows": rows, "beyond": beyond, "not_finite": synthesiser.tally.not_finite - before}))


def _rendered(
    settings: Settings, synthesiser: Synthesiser, pairs: Pairs, numbers: range, device: str, theirs: SynthAX | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return sounds [draws, views, T] and their unit values [draws, views, P], both float32, and the saturation."""
    seeds = seeds_of(settings, numbers)
    with torch.no_grad():
        if theirs is not None:
            return _by_synthax(settings, synthesiser, pairs, seeds, theirs)
        if settings.pairs:
            pair = pairs.batch(seeds, device)
            sounds, units = torch.stack([pair.first, pair.second], 1), torch.stack([pair.u1, pair.u2], 1)
            return sounds.cpu().numpy(), units.cpu().numpy(), pair.saturation
        u = synthesiser.draw(seeds, settings.sampling, device)
        return synthesiser.render(u, seeds)[:, None].cpu().numpy(), u[:, None].cpu().numpy(), 0.0


def _by_synthax(
    settings: Settings, synthesiser: Synthesiser, pairs: Pairs, seeds: list[int], theirs: SynthAX
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the same as :func:`_rendered` by SynthAX, of the same parameters."""
    if settings.pairs:
        _, first, second, saturation = pairs.parameters(seeds)
        views = [first, second]
    else:
        views, saturation = [synthesiser.draw(seeds, settings.sampling)], 0.0
    made = [theirs.render(view) for view in views]
    synthesiser.tally.not_finite += sum(lost for _, lost in made)
    return np.stack([sounds for sounds, _ in made], 1), torch.stack(views, 1).numpy(), saturation


def _written(settings: Settings, folder: Path, numbers: range, sounds: np.ndarray, units: np.ndarray) -> list[dict[str, Any]]:
    """Write sounds below a shard's folder; return what the manifest will say of them."""
    seeds, rows = seeds_of(settings, numbers), []
    for place, (number, seed, split) in enumerate(zip(numbers, seeds, splits_of(settings, seeds), strict=True)):
        for view in range(sounds.shape[1]):
            name = f"{settings.synth}-{number:07d}" + (f"-{VIEWS[view]}" if settings.pairs else "")
            path = folder / f"{name}.{settings.form}"
            samples = sounds[place, view]
            audio.write(path, samples, settings.sample_rate_hz)
            values = [float(f"{value:.9g}") for value in units[place, view]]
            told = {"synth": settings.synth, "seed": seed, "number": number, "unit": values}
            rows.append({
                "file": path.name, "sha256": keys.file_digest(path), "split": split, "peak": float(np.abs(samples).max()),
                "parameters": {**told, "view": VIEWS[view], "pair": f"{number:07d}"} if settings.pairs else told,
            })  # fmt: skip
    return rows


def run(request: Request, context: Context) -> Result:
    """Put the shards together."""
    settings = request.settings
    synthesiser = synthesiser_of(settings)
    rows, units, beyond, not_finite = [], [], 0.0, 0
    for shard in range(request.shards):
        folder = context.shard_folder(shard)
        told = json.loads((folder / ROWS).read_text())
        beyond, not_finite = beyond + told["beyond"], not_finite + told["not_finite"]
        units.append(np.load(folder / UNITS))
        for row in told["rows"]:
            target = context.output / "audio" / row["file"]
            atomic.link(folder / row["file"], target)
            rows.append(_row(settings, context, row, target))
    silent = sum(row["reason"] == "silent" for row in rows)
    manifest.write(context.output, manifest.frame(rows))
    with atomic.replacing(context.output / "parameters.npy") as temporary, temporary.open("wb") as handle:
        np.save(handle, np.concatenate(units))
    atomic.write_json(context.output / "synthesiser.json", _description(settings, synthesiser))
    if silent:
        context.log(f"{silent} sounds are silent and rejected, {not_finite} of them because they came out as no numbers")
    return Result(
        clips=len(rows), parameters=len(synthesiser), seconds=round(len(rows) * settings.duration_s, 6), silent=silent,
        not_finite=not_finite, saturation=beyond / settings.n,
    )  # fmt: skip


def _row(settings: Settings, context: Context, row: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return a sound's row of the manifest."""
    silent = row["peak"] < SILENT_PEAK
    parameters = row["parameters"]
    identity = manifest.clip_id(
        STAGE.name, json.dumps(_defining(settings), sort_keys=True), parameters["number"], parameters.get("view", "")
    )
    return manifest.row(
        identity, context.published(path), STAGE.name, sha256=row["sha256"], duration_s=settings.duration_s, channels=1,
        sample_rate_hz=settings.sample_rate_hz, label=settings.synth, split=row["split"], parameters=parameters,
        status="rejected" if silent else "accepted", reason="silent" if silent else "",
    )  # fmt: skip


def _defining(settings: Settings) -> dict[str, Any]:
    """Return the settings that a sound of a given number hangs on."""
    return {name: value for name, value in to_dict(settings).items() if name not in ("n", "val_share", "test_share", "form")}


def _description(settings: Settings, synthesiser: Synthesiser) -> dict[str, Any]:
    """Return what ``synthesiser.json`` says: settings, and each parameter's name and range in the order of ``unit`` values."""
    return {"settings": to_dict(settings), "parameters": [asdict(one) for one in synthesiser.parameters]}
