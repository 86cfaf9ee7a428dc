"""Real clips to train on: of a manifest, or of a folder of sound files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.train_contrastive.spec import Request

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
IN_MEMORY_BYTES = 2_000_000_000
"""Decoded sounds that are kept; what does not fit is decoded anew each time."""


@dataclass(frozen=True)
class Clip:
    """One sound file."""

    clip_id: str
    path: Path
    label: str = ""


@dataclass
class Clips:
    """Usable clips, read and kept as far as they fit."""

    clips: list[Clip]
    sample_rate_hz: int
    digest: str
    """SHA-256 over ids and sizes."""
    ids: list[str] = field(default_factory=list)
    """Manifest ids of the clips and of what they were made from, so that a probe can tell what the encoder has heard."""
    _kept: dict[str, audio.Samples] = field(default_factory=dict, repr=False)
    _bytes: int = 0

    def read(self, clip: Clip) -> audio.Samples:
        """Return a clip [samples], mono, at the rate that is asked for."""
        if clip.clip_id in self._kept:
            return self._kept[clip.clip_id]
        sound = audio.load_mono(clip.path, self.sample_rate_hz)
        if self._bytes + sound.nbytes <= IN_MEMORY_BYTES:
            self._bytes += sound.nbytes
            self._kept[clip.clip_id] = sound
        return sound


def find(request: Request, context: Context) -> Clips:
    """Return the usable clips of the request.

    Raises:
        InvalidValueError: clips that are not train clips, no clips, or too many that cannot be read.
    """
    ids: list[str] = []
    if request.clips:
        table = manifest.accepted(manifest.read(context.resolve(request.clips)))
        manifest.require_train(table, "train_contrastive.clips")
        there = [Clip(row.clip_id, context.resolve(row.path), row.label) for row in table.sort_values("clip_id").itertuples()]
        ids = sorted({*table["clip_id"], *(parent for parents in table["parents"] for parent in parents)})
    else:
        folder = Path(request.folder)
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        there = [Clip(path.relative_to(folder).as_posix(), path) for path in paths]
    where = request.clips or request.folder
    if not there:
        raise InvalidValueError("no sound files", where=where, allowed=f"files ending in {', '.join(SUFFIXES)}", received="none")
    usable = [clip for clip in there if _readable(clip, context)]
    if len(there) - len(usable) > request.settings.max_reject_fraction * len(there) or not usable:
        raise InvalidValueError(
            "too many files cannot be read", where=where, allowed=f"a share of {request.settings.max_reject_fraction}",
            received=f"{len(there) - len(usable)} of {len(there)}", hint="the log names them",
        )  # fmt: skip
    whole = hashlib.sha256("\n".join(f"{clip.clip_id} {clip.path.stat().st_size}" for clip in usable).encode()).hexdigest()
    return Clips(usable, request.settings.sample_rate_hz, whole, ids)


def _readable(clip: Clip, context: Context) -> bool:
    """Whether a file is a sound file with samples in it; says so in the log where it is not."""
    try:
        reason = "" if soundfile.info(clip.path).frames else "empty"
    except (soundfile.LibsndfileError, OSError) as error:
        reason = str(error)
    if reason:
        context.log(f"{clip.clip_id} is left out: {reason}")
    return not reason
