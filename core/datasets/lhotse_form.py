"""Writes lhotse's manifests: recordings, supervisions and cuts as lines of JSON, gzipped, with paths relative to the folder.

Format: lhotse 1.33, ``Recording``, ``SupervisionSegment``, ``MonoCut`` and ``MultiCut`` as their ``to_dict`` writes them.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from core.datasets import headers

AUDIO = "audio"
RECORDINGS, SUPERVISIONS, CUTS = "recordings.jsonl.gz", "supervisions.jsonl.gz", "cuts.jsonl.gz"
_TEXT = ("caption", "duration_s", "sample_rate_hz", "channels", "path", "clip_id")
"""Columns that have a field of their own in lhotse; the others go into ``custom``."""


def write_manifests(folder: Path, rows: Sequence[dict[str, Any]], paths: Sequence[str]) -> None:
    """Write the manifests of clips: all recordings, supervisions and cuts, and the cuts of every split by themselves.

    A supervision's ``text`` is the caption; label, split, scores and the like are in ``custom``.

    Args:
        folder: the folder that holds the audio.
        rows: the clips, columns as in a manifest.
        paths: their files, relative to the folder.
    """
    recordings = [_recording(folder, row, path) for row, path in zip(rows, paths, strict=True)]
    supervisions = [_supervision(row, recording) for row, recording in zip(rows, recordings, strict=True)]
    cuts = [_cut(recording, supervision) for recording, supervision in zip(recordings, supervisions, strict=True)]
    _write(folder / RECORDINGS, recordings)
    _write(folder / SUPERVISIONS, supervisions)
    _write(folder / CUTS, cuts)
    splits = [row["split"] or "unsplit" for row in rows]
    for split in sorted(set(splits)):
        _write(folder / f"cuts_{split}.jsonl.gz", [cut for cut, own in zip(cuts, splits, strict=True) if own == split])


def _recording(folder: Path, row: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a recording; length, rate and channels are the file's own where its header is known, for lhotse compares them."""
    header = headers.read(folder / path)
    rate_hz, channels = (header.sample_rate_hz, header.channels) if header else (int(row["sample_rate_hz"]), int(row["channels"]))
    samples = header.samples if header else round(float(row["duration_s"]) * rate_hz)
    places = list(range(channels))
    return {
        "id": row["clip_id"], "sources": [{"type": "file", "channels": places, "source": path}], "sampling_rate": rate_hz,
        "num_samples": samples, "duration": samples / rate_hz if rate_hz else 0.0, "channel_ids": places,
    }  # fmt: skip


def _supervision(row: dict[str, Any], recording: dict[str, Any]) -> dict[str, Any]:
    custom = {name: value for name, value in row.items() if name not in _TEXT}
    return {
        "id": row["clip_id"], "recording_id": row["clip_id"], "start": 0.0, "duration": recording["duration"],
        "channel": _channel(recording), "text": row["caption"], "custom": custom,
    }  # fmt: skip


def _cut(recording: dict[str, Any], supervision: dict[str, Any]) -> dict[str, Any]:
    kind = "MonoCut" if len(recording["channel_ids"]) == 1 else "MultiCut"
    return {
        "id": recording["id"], "start": 0.0, "duration": recording["duration"], "channel": _channel(recording),
        "supervisions": [supervision], "recording": recording, "type": kind,
    }  # fmt: skip


def _channel(recording: dict[str, Any]) -> int | list[int]:
    places: list[int] = recording["channel_ids"]
    return places[0] if len(places) == 1 else places


def _write(path: Path, items: Iterable[dict[str, Any]]) -> None:
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as handle:  # no time stamp: same clips, same bytes
        for item in items:
            handle.write((json.dumps(item, ensure_ascii=False) + "\n").encode())
