"""The study's sounds, for who listens to them later in an environment of its own: a file for each attribute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from core import atomic
from core.errors import InvalidValueError

Kept = npt.NDArray[np.float32]


def name_of(place: int) -> str:
    """Return the file of an attribute, by its place among those of the study: a name of its own might be no file name."""
    return f"sounds/{place:03d}.npy"


def made(folder: Path, place: int, shape: tuple[int, int, int], wanted: bool) -> Kept | None:
    """Return a new file's sounds [presets, steps, T], mapped, to be filled in; none where none are wanted."""
    if not wanted:
        return None
    path = folder / name_of(place)
    path.parent.mkdir(exist_ok=True)
    return np.lib.format.open_memmap(path, "w+", np.float32, shape)


def published(folder: Path, place: int, output: Path) -> str:
    """Bring an attribute's file from a shard's folder to the output; returns its path below it."""
    atomic.link(folder / name_of(place), output / name_of(place))
    return name_of(place)


def opened(output: Path, name: str) -> Kept:
    """Return the sounds [presets, steps, T] of a file of a study, mapped.

    Raises:
        InvalidValueError: they cannot be read.
    """
    try:
        found = np.load(output / name, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        hint = "run rank_audio_models again with keep_sounds=true"
        raise InvalidValueError("sounds cannot be read", where=str(output), allowed=name, received=str(error)[:300], hint=hint) from error
    return np.asarray(found)
