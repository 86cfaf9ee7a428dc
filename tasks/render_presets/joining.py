"""Shards put together: in the order of their numbers, every number accounted for, arrays copied piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core import atomic
from core.errors import InvalidValueError
from tasks.render_presets import shard_files

PIECE_BYTES = 64 << 20


def ordered(folders: Sequence[Path], numbers: range) -> tuple[list[Path], list[dict[str, Any]]]:
    """Return shards and what they tell, by their numbers, having checked that they cover all numbers once and were made alike.

    Args:
        folders: of the shards, in any order.
        numbers: that they must cover.

    Raises:
        InvalidValueError: a gap, an overlap, a number without a fate, or shards made under other circumstances.
    """
    told = {folder: shard_files.told_of(folder) for folder in folders}
    kept = sorted((folder for folder in folders), key=lambda folder: (told[folder]["start"], told[folder]["stop"]))
    expected = numbers.start
    for folder in kept:
        one = told[folder]
        fates = [row["index"] for row in one["rows"]] + [row["index"] for row in one["rejected"]]
        if one["start"] != expected or sorted(fates) != list(range(one["start"], one["stop"])):
            received = f"{one['start']} … {one['stop']} with {len(fates)} presets"
            raise InvalidValueError("numbers are missing or double", where=str(folder), allowed=f"all from {expected}", received=received)
        if one["made"] != told[kept[0]]["made"]:
            differing = {name: value for name, value in one["made"].items() if told[kept[0]]["made"].get(name) != value}
            hint = "delete the stage's unfinished output and run it again"
            raise InvalidValueError(
                "made otherwise than the first shard", where=str(folder), allowed="the same", received=differing, hint=hint
            )
        expected = one["stop"]
    if expected != numbers.stop:
        raise InvalidValueError("the last numbers are missing", where="render_presets", allowed=numbers.stop, received=expected)
    return kept, [told[folder] for folder in kept]


def join(folders: Sequence[Path], name: str, kind: str, shape: tuple[int, ...], target: Path) -> int:
    """Write the shards' rows of one array as a ``.npy`` file in C order, a piece at a time; return their number."""
    parts = [shard_files.rows_of(folder, name, kind, shape) for folder in folders]
    rows = sum(len(part) for part in parts)
    with atomic.replacing(target) as temporary, temporary.open("wb") as handle:
        head = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False, "shape": (rows, *shape)}
        np.lib.format.write_array_header_1_0(handle, head)
        step = max(1, PIECE_BYTES // max(1, int(np.prod(shape)) * np.dtype(kind).itemsize))
        for part in parts:
            for at in range(0, len(part), step):
                handle.write(part[at : at + step].tobytes())
    return rows
