"""Presets made by hand, brought to the form of drawn ones: clipped, snapped to the steps that are drawn, each only once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.errors import InvalidValueError
from tasks.presets import amsynth, dx7, presets_json
from tasks.presets.parameters import Parameter, SynthSpec, Values
from tasks.presets.raw_preset import RawPreset

TOLERANCE = 1e-5
"""Of a raw value; banks hold six digits."""
Missing = Literal["default", "zero"]
Excluded = Literal["nearest", "drop"]


@dataclass
class HandCrafted:
    """Presets in a spec's values, and what became of the others."""

    names: list[str]
    """Of the presets that were kept."""
    values: Values
    """Their values [kept, used], as :class:`SynthSpec` has them."""
    labels: list[tuple[str, ...]]
    """Theirs, where the file has any."""
    changed: list[tuple[str, ...]]
    """Names of the parameters of each that were clipped or snapped."""
    removed: list[dict[str, Any]] = field(default_factory=list)
    """``name`` and ``reason`` of each preset that was left out, ``of`` for a copy of another one."""


def read(path: Path) -> list[RawPreset]:
    """Read preset files: DX7 banks, amsynth banks, JSON; of a folder every file in it, sorted by name.

    Raises:
        InvalidValueError: no preset file there, or one that is damaged.
    """
    files = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
    if not path.exists() or not files:
        raise InvalidValueError("no such file or folder", where="presets", allowed="preset files", received=str(path))
    return [preset for file in files for preset in _read_file(file)]


def _read_file(path: Path) -> list[RawPreset]:
    data = path.read_bytes()
    if path.suffix == ".json":
        return presets_json.read(data, path.name)
    if amsynth.is_bank(data):
        return amsynth.read(data, path.name)
    return dx7.read(data, path.name)


def fitted(spec: SynthSpec, presets: Sequence[RawPreset], missing: Missing = "default", excluded: Excluded = "nearest") -> HandCrafted:
    """Bring presets to a spec's values.

    Numbers are clipped to the interval that they are drawn from, and steps and categories go to the nearest that is drawn. Of presets
    that are then alike the first stays.

    Args:
        spec: of the synthesiser.
        presets: raw values by name; names that the spec does not use are passed over.
        missing: what a parameter that a preset does not name gets: its default, or 0 as in synth-proxy.
        excluded: a preset with a step that is never drawn (a sample-and-hold wave, say) gets the ``nearest`` one as in synth-proxy, or is
            dropped, since its sound is another one then.

    Raises:
        InvalidValueError: no preset names any parameter of the spec.
    """
    known = {one.name for one in spec.used}
    if presets and not any(known & set(preset.parameters) for preset in presets):
        received = sorted(presets[0].parameters)[:5]
        raise InvalidValueError("presets of another synthesiser", where="presets", allowed=sorted(known)[:5], received=received)
    kept = HandCrafted([], np.zeros((0, len(spec.used)), np.float32), [], [])
    rows: list[Values] = []
    seen: dict[bytes, str] = {}
    for preset in presets:
        row, changed, beyond = _row(spec, preset, missing)
        if row is None:
            kept.removed.append({"name": preset.name, "reason": "not a number", "parameter": beyond})
        elif beyond and excluded == "drop":
            kept.removed.append({"name": preset.name, "reason": "excluded step", "parameter": beyond})
        elif (original := seen.get(row.tobytes())) is not None:
            kept.removed.append({"name": preset.name, "reason": "duplicate", "of": original})
        else:
            seen[row.tobytes()] = preset.name
            rows.append(row)
            kept.names.append(preset.name)
            kept.labels.append(preset.labels)
            kept.changed.append(changed)
    if rows:
        kept.values = np.stack(rows)
    return kept


def _row(spec: SynthSpec, preset: RawPreset, missing: Missing) -> tuple[Values | None, tuple[str, ...], str]:
    """Return a preset's values, the names of parameters that were moved, and the first one at an excluded step or not a number."""
    row = np.zeros(len(spec.used), np.float32)
    changed, beyond = [], ""
    for place, one in enumerate(spec.used):
        raw = preset.parameters.get(one.name, one.default if missing == "default" else 0.0)
        if not np.isfinite(raw):
            return None, (), one.name
        row[place], moved = nearest(one, raw)
        if moved > TOLERANCE:
            changed.append(one.name)
        if not beyond and _is_excluded(one, raw):
            beyond = one.name
    return row, tuple(changed), beyond


def nearest(one: Parameter, raw: float) -> tuple[float, float]:
    """Return the value nearest to a raw one that the parameter may be drawn at, and how far it is from it, in raw values."""
    if not one.is_discrete:
        low, high = one.interval
        value = min(max(raw, low), high)
        return value, abs(value - raw)
    number = int(np.argmin(np.abs(np.asarray(one.allowed) - raw)))
    value = one.allowed[number]
    return (float(number) if one.kind == "cat" else value), abs(value - raw)


def _is_excluded(one: Parameter, raw: float) -> bool:
    """Whether the step nearest to a raw value is one that is never drawn."""
    if not one.excluded_categories:
        return False
    every = one.values or tuple(k / (one.cardinality - 1) for k in range(one.cardinality))
    return int(np.argmin(np.abs(np.asarray(every) - raw))) in one.excluded_categories


def splits(values: Values, seed: int, test_share: float) -> list[str]:
    """Return ``train`` or ``test`` for each preset [n, used]: the rounded share with the lowest hash of seed and values is ``test``.

    The order of the presets plays no part.
    """
    hashes = [hashlib.sha256(f"{seed}:".encode() + np.ascontiguousarray(row, np.float32).tobytes()).hexdigest() for row in values]
    chosen = set(sorted(range(len(values)), key=lambda place: hashes[place])[: round(test_share * len(values))])
    return ["test" if place in chosen else "train" for place in range(len(values))]
