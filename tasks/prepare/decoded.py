"""Sounds that an earlier output of this stage has decoded: what becomes of one hangs on its file's bytes and the limits, on no row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from core import manifest
from core.context import Context
from core.reuse import Donor, Reuse, Row, fingerprint, parameters_of
from tasks.prepare import table

OF_THE_SOUND = ("sha256", "duration_s", "sample_rate_hz", "channels")
"""Columns that the decoded sound decides; the table decides the others."""


def clip_id(row: table.Row, digest: str) -> str:
    """Return the id of a row's clip.

    Args:
        row: the table's row.
        digest: SHA-256 of its file, empty where there is none.
    """
    return manifest.clip_id("gold", row.path, row.label, digest)


def earlier(rows: Sequence[table.Row], digests: Mapping[tuple[str, int], str], context: Context) -> Reuse:
    """Return the sounds that need not be decoded again, by the clip_id they have now.

    Args:
        rows: the rows of all tables.
        digests: SHA-256 of their files by table and line.
        context: of the stage.
    """
    found = ((row, digests[row.place]) for row in rows if row.place in digests)
    return Reuse(context, {clip_id(row, digest): _sound(digest, row.path) for row, digest in found}, _index)


def _index(donor: Donor) -> dict[str, Row]:
    """Return a donor's usable clips by their source's bytes."""
    clips = ((row, parameters_of(row)) for row in donor.rows if row["status"] == "accepted")
    return {_sound(told["source_sha256"], told["source_path"]): row for row, told in clips}


def _sound(digest: str, path: str) -> str:
    """Name a sound by its bytes, and by its suffix, which can tell libsndfile how to read them."""
    return fingerprint(digest, PurePosixPath(path).suffix.lower())
