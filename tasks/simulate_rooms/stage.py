"""Writes ``rirs/<spatial_id>.wav`` (four channels; float32, or as DISSE 16 bit), ``catalogue.parquet`` and ``catalogue.json``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core import atomic, audio
from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from tasks.simulate_rooms import drawing, geometry, self_test, simulator
from tasks.simulate_rooms.drawing import Draw, Item
from tasks.simulate_rooms.self_test import Checked
from tasks.simulate_rooms.simulator import Engine, Response
from tasks.simulate_rooms.spec import Request, Result, Settings, effective
from tasks.spatial import acoustics, catalogue, words
from tasks.spatial.acoustics import Acoustics
from tasks.spatial.foa import AMBIX, Convention, from_tetrahedron
from tasks.spatial.sound_files import write_float

ROWS = "rows.json"
Wanted = tuple[Item, Draw | None]
"""What is wanted, and where it is, if somebody said that already."""


@dataclasses.dataclass(frozen=True)
class Made:
    """A response that is kept."""

    draw: Draw
    """What was simulated."""
    response: Response
    """The samples as they are written."""
    found: Acoustics
    """Measured on W."""
    attempt: int
    """The draw that gave it, from 0."""
    checked: Checked
    """Its self-test."""
    seconds: float
    """Time it took, draws that were thrown away included."""


def wanted_of(request: Request, context: Context) -> list[Wanted]:
    """Return everything that is wanted, in the catalogue's order."""
    if request.geometry:
        return [(item, draw) for item, draw in geometry.read(context.locate(request.geometry))]
    found: list[Wanted] = [(item, None) for item in drawing.items(effective(request.settings))]
    if not found:
        raise InvalidValueError("nothing is wanted", where="simulate_rooms.train", allowed="a count above 0 in some split", received=0)
    return found


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Make the responses of each shard: every n-th one, so that dear ones are spread."""
    settings = effective(request.settings)
    engine, wanted = drawing.engine_of(settings), wanted_of(request, context)
    total, done = sum(len(wanted[shard :: request.shards]) for shard in shards), 0
    for shard in shards:
        rows: list[dict[str, Any]] = []
        unreachable, checks, redrawn = [], [], 0
        with context.shard(shard) as folder:
            for place in range(shard, len(wanted), request.shards):
                item, given = wanted[place]
                made, thrown = make(settings, engine, item, given)
                redrawn += thrown
                if made is None:
                    unreachable.append(_unreachable(settings, item, given))
                else:
                    checks.append(made.checked)
                    rows.append({"place": place, **_written(settings, engine, item, made, folder)})
                done += 1
                context.progress(done, total, "responses")
            worst = self_test.require(checks, engine, settings.gain_tolerance)
            told = {"rows": rows, "unreachable": unreachable, "redrawn": redrawn, "self_test": worst}
            (folder / ROWS).write_text(json.dumps(told))


def _unreachable(settings: Settings, item: Item, given: Draw | None) -> dict[str, Any]:
    """Return what the catalogue says of a response that it lacks."""
    reason = "its T30 cannot be measured" if given or not item.wanted else f"none of {settings.attempts} draws had these words"
    name = words.descriptor_id(item.wanted) if item.wanted else ""
    return {"split": item.split, "number": item.number, "descriptor_id": name, "reason": reason}


def make(settings: Settings, engine: Engine, item: Item, given: Draw | None) -> tuple[Made | None, int]:
    """Return a response with the wanted words, and how many simulated ones were thrown away; None after the last attempt."""
    started, thrown, wording = time.perf_counter(), 0, drawing.wording_of(settings)
    for attempt in range(1 if given else settings.attempts):
        draw = given or drawing.draw(settings, item, attempt)
        if draw is None or (item.wanted and not _may_have(draw, item, settings)):
            continue
        response = simulator.simulate(draw.scene, engine, drawing.stream(settings, drawing.NOISE, item.split, item.number, attempt))
        samples = self_test.turned(response.samples, draw, engine).astype(np.float32)
        found = measure(samples, draw, engine, octaves=False)
        row = {**_place_columns(draw), **_t30_columns(settings, draw, found)}
        if np.isfinite(row["fullband_T30_ms"]) and (item.wanted is None or words.describe(row, wording) == item.wanted):
            checked = self_test.check(draw, samples, engine)
            kept = dataclasses.replace(response, samples=samples)
            found = measure(samples, draw, engine)
            return Made(draw, kept, found, attempt, checked, time.perf_counter() - started), thrown
        thrown += 1
    return None, thrown


def _may_have(draw: Draw, item: Item, settings: Settings) -> bool:
    """Whether the absorption's limits leave the wanted reverberation in reach, before anything is simulated."""
    assert item.wanted is not None
    if settings.absorption == "sabine":
        return True
    air, widths = simulator.medium(drawing.engine_of(settings), len(draw.room.alphas))
    expected_ms = 1000 * drawing.decay.expected_t30_s(draw.room.dims_m, draw.room.alphas, air, widths)
    return any(words.reverb_word(expected_ms * factor) == item.wanted.reverb for factor in (0.9, 1.0, 1.1))


def measure(samples: npt.NDArray[np.float32], draw: Draw, engine: Engine, octaves: bool = True) -> Acoustics:
    """Measure W of a response whose direct sound arrives when geometry says."""
    omni = from_tetrahedron(samples)[0] if engine.tetrahedron else samples[0]
    return acoustics.measure(omni, engine.rate_hz, simulator.DELAY + draw.distance_m / 343.0 * engine.rate_hz, octaves=octaves)


def _place_columns(draw: Draw) -> dict[str, Any]:
    scene, room = draw.scene, draw.room
    return {
        "room_id": room.room_id, "area_m2": room.area_m2, "dims_m": json.dumps(list(room.dims_m)), "alpha": float(np.mean(room.alphas)),
        "alpha_bands": json.dumps(list(room.alphas)), "t30_nominal_ms": room.t30_nominal_ms, "source_distance_m": draw.distance_m,
        "azimuth_deg": draw.azimuth_deg, "elevation_deg": draw.elevation_deg, "source_pos_xyz": json.dumps(list(scene.source_m)),
        "receiver_pos_xyz": json.dumps(list(scene.receiver_m)), "receiver_yaw_deg": draw.yaw_deg,
    }  # fmt: skip


def _t30_columns(settings: Settings, draw: Draw, found: Acoustics) -> dict[str, Any]:
    """DISSE's catalogue calls the T30 aimed at the room's; ours has the measured one there."""
    told = catalogue.acoustic_columns(found)
    return {**told, "fullband_T30_ms": draw.room.t30_nominal_ms if settings.disse_compat else found.t30_ms}


def _written(settings: Settings, engine: Engine, item: Item, made: Made, folder: Path) -> dict[str, Any]:
    """Write a response below a shard's folder; return its row."""
    draw, response = made.draw, made.response
    place = _place_columns(draw)
    defining = [place, to_dict(engine), settings.seed, item.split, item.number, made.attempt]
    identity = hashlib.sha256(json.dumps(defining, sort_keys=True).encode()).hexdigest()[:12]
    path = folder / f"{identity}.wav"
    if engine.tetrahedron:  # 16 bit cut off what is beyond full scale; DISSE's files do that, float ones do not
        audio.write(path, response.samples, engine.rate_hz, "PCM_16")
    else:
        write_float(path, response.samples, engine.rate_hz)
    row = {**place, **_t30_columns(settings, draw, made.found)}
    return {
        **row, "spatial_id": identity, "split": item.split, "rir_path": f"{catalogue.FOLDER}/{identity}.wav", "fs": engine.rate_hz,
        "delay_samples": simulator.DELAY, "descriptor_id": words.descriptor_id(words.describe(row, drawing.wording_of(settings))),
        "image_order": response.order, "images": response.images, "crossover_ms": 1000 * response.crossover_s,
        "peak": float(np.abs(response.samples).max()), "seconds": round(made.seconds, 4), "attempt": made.attempt,
    }  # fmt: skip


def run(request: Request, context: Context) -> Result:
    """Put the shards together."""
    settings = effective(request.settings)
    engine = drawing.engine_of(settings)
    rows, unreachable, redrawn, worst = [], [], 0, dict[str, float]()
    for shard in range(request.shards):
        folder = context.shard_folder(shard)
        told = json.loads((folder / ROWS).read_text())
        unreachable, redrawn = unreachable + told["unreachable"], redrawn + told["redrawn"]
        worst = {name: max(value, worst.get(name, 0.0)) for name, value in told["self_test"].items()}
        for row in told["rows"]:
            atomic.link(folder / Path(row["rir_path"]).name, context.output / row["rir_path"])
        rows += told["rows"]
    rows.sort(key=lambda row: row["place"])
    for row in rows:
        del row["place"]
    if not rows:
        hint = "widen simulate_rooms.ranges or raise simulate_rooms.attempts"
        raise InvalidValueError("no response could be made", where="simulate_rooms", received=unreachable[:5], hint=hint)
    convention = Convention(normalisation="DISSE") if engine.tetrahedron else AMBIX
    agreement = float(np.mean([words.reverb_word(row["t30_nominal_ms"]) == words.reverb_word(row["t30_measured_ms"]) for row in rows]))
    clipped = sum(row["peak"] > 1 for row in rows) if engine.tetrahedron else 0
    meta = {
        "format": "tetrahedron" if engine.tetrahedron else "foa", "unreachable": unreachable, "settings": to_dict(request.settings),
        "self_test": {**worst, "responses": len(rows)}, "caption_t30": "nominal" if settings.disse_compat else "measured",
        "nominal_agreement": agreement, "clipped": clipped,
    }  # fmt: skip
    catalogue.write_catalogue(context.output, rows, meta, convention)
    if unreachable:
        context.log(f"{len(unreachable)} responses could not be reached: {dict(Counter(one['descriptor_id'] for one in unreachable))}")
    return Result(
        responses=len(rows), rooms=len({row["room_id"] for row in rows}), unreachable=len(unreachable), redrawn=redrawn,
        images=sum(row["images"] for row in rows), seconds=round(sum(row["seconds"] for row in rows), 2),
        gain_error=float(worst["gain_error"]), nominal_agreement=agreement, clipped=clipped,
    )  # fmt: skip
