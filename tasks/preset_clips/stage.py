"""Writes ``manifest.parquet`` and ``audio/*.flac``: a clip for each preset whose sound was kept, in the split that the preset is in."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from core import audio, dsp, keys, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.preset_clips.spec import STAGE, Request, Result
from tasks.presets.reading import PresetSet, open_presets

NOTES = ("C", "C sharp", "D", "D sharp", "E", "F", "F sharp", "G", "G sharp", "A", "A sharp", "B")


def run(request: Request, context: Context) -> Result:
    """Write every kept sound.

    Raises:
        InvalidValueError: the set has no sounds.
    """
    presets, settings = open_presets(context.resolve(request.presets)), request.settings
    if presets.audio is None or not len(presets.audio):
        hint = "render it with audio_clips=-1"
        raise InvalidValueError("a set without sounds", where="preset_clips.presets", allowed="kept sounds", received=0, hint=hint)
    rate_hz = int(presets.meta["sample_rate_hz"])
    rows = []
    kept: list[dict[str, Any]] = presets.table[: len(presets.audio)].to_dict("records")  # type: ignore[assignment]
    for row in kept:
        sound = dsp.at_level(np.asarray(presets.audio[row["row"]], dtype=np.float64), settings.level_dbfs).astype(np.float32)
        clip_id = manifest.clip_id(
            STAGE.name, presets.meta["spec_digest"], presets.meta["origin"], presets.meta["seed"], row["index"], rate_hz
        )
        path = context.output / "audio" / f"{clip_id}.flac"
        audio.write(path, sound, rate_hz, "PCM_16")
        label = label_of(row, settings.label)
        values = {"duration_s": len(sound) / rate_hz, "sample_rate_hz": rate_hz, "channels": 1, "split": row["split"]}
        rows.append(
            manifest.row(
                clip_id, context.published(path), STAGE.name, sha256=keys.file_digest(path), label=label,
                caption=caption_of(label, int(row["note"])), parameters=parameters_of(presets, row), **values,
            )
        )  # fmt: skip
        context.progress(len(rows), len(presets.audio))
    manifest.write(context.output, manifest.frame(rows))
    seconds = round(sum(row["duration_s"] for row in rows), 3)
    return Result(clips=len(rows), labels=len({row["label"] for row in rows}), seconds=seconds)


def label_of(row: dict[str, Any], otherwise: str) -> str:
    """Return a preset's first label, or the one for presets without."""
    labels = json.loads(row["labels"]) if row.get("labels") else []
    return str(labels[0]) if labels else otherwise


def caption_of(label: str, note: int) -> str:
    """Return what is true of a clip by construction: what it is, and the note; how it sounds is for the stage ``caption``."""
    octave = note // 12 - 1
    return f"{label[0].upper()}{label[1:]} played on a synthesizer, the note {NOTES[note % 12]} {octave}"


def parameters_of(presets: PresetSet, row: dict[str, Any]) -> dict[str, Any]:
    """Return what the clip was made from; the preset itself is found by its row."""
    return {
        "synth": presets.spec.name, "preset": row["name"] or f"preset {row['index']}", "row": int(row["row"]), "index": int(row["index"]),
        "note": int(row["note"]), "velocity": int(row["velocity"]), "seed": int(presets.meta["seed"]),
    }  # fmt: skip
