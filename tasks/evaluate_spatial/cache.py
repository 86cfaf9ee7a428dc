"""Embeddings in a file: ``.npz`` without pickle, in the layout of DISSE's cache."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from core import atomic
from core.errors import InvalidValueError
from tasks.evaluate_spatial.metrics import Array, Labels, unit
from tasks.spatial_model.embedding import EMBEDDINGS

FILE = "embeddings.npz"
ALIASES = {
    "audio_space": "audio_spatial",
    "text_space": "text_spatial",
    "space_id": "spatial_id",
    "audiocap_id": "source_id",
    "audio_space_emb": "audio_spatial",
    "audio_source_emb": "audio_source",
    "text_space_emb": "text_spatial",
    "text_source_emb": "text_source",
}
"""Names that other scripts give the same arrays."""


def write(folder: Path, embeddings: dict[str, Array], sources: Labels, spaces: Labels, further: dict[str, Any]) -> None:
    """Write embeddings as float32, and what belongs to each item.

    Args:
        folder: where :data:`FILE` goes.
        embeddings: by name, [items, d].
        sources: id of each item's clip [items], text.
        spaces: id of each item's RIR [items], text.
        further: other arrays by name.
    """
    arrays = {name: values.astype(np.float32) for name, values in embeddings.items()}
    with atomic.replacing(folder / FILE) as temporary, temporary.open("wb") as file:
        np.savez(file, source_id=np.asarray(sources, str), spatial_id=np.asarray(spaces, str), **arrays, **further)


def read(path: Path) -> tuple[dict[str, Array], dict[str, Labels]]:
    """Return the embeddings of a cache, of length 1, and labels ``source`` and ``spatial``.

    Raises:
        InvalidValueError: arrays are missing, of different lengths, not finite, or hold rows of zeros.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {ALIASES.get(name, name): archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        hint = "arrays of objects cannot be read without running code; save them as numbers and text"
        what = "arrays of numbers and text"
        raise InvalidValueError("no plain .npz file", where=str(path), allowed=what, received=str(error), hint=hint) from error
    needed = (*EMBEDDINGS, "source_id", "spatial_id")
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise InvalidValueError("arrays are missing", where=str(path), allowed=needed, received=f"without {missing}")
    shapes = {name: arrays[name].shape for name in needed}
    items = len(arrays["source_id"])
    if any(shape[0] != items or len(shape) != (2 if name in EMBEDDINGS else 1) for name, shape in shapes.items()) or not items:
        raise InvalidValueError("arrays do not fit each other", where=str(path), allowed="[items, d], ids [items]", received=shapes)
    for name in EMBEDDINGS:
        lengths = np.linalg.norm(arrays[name].astype(np.float64), axis=1)
        if not np.isfinite(lengths).all() or not (lengths > 0).all():
            received = f"{name}: {int((~(lengths > 0) | ~np.isfinite(lengths)).sum())} such rows"
            raise InvalidValueError("rows without a direction", where=str(path), allowed="finite rows, not all zeros", received=received)
    return {name: unit(arrays[name]) for name in EMBEDDINGS}, {"source": arrays["source_id"], "spatial": arrays["spatial_id"]}
