"""Sounds to match: rows of a preset set, clips of a manifest; each with an identity that random choices hang on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.presets.parameters import Values
from tasks.presets.reading import MUST_AGREE, open_presets
from tasks.renderer.interface import Note
from tasks.sound_matching.examples import Sounds
from tasks.sound_matching.fitting import right_sounds
from tasks.sound_matching.rerendering import Studio

IN_DOMAIN, OUT_OF_DOMAIN = "presets", "clips"
Audio = npt.NDArray[np.float32]


@dataclass
class Source:
    """Sounds of one kind."""

    kind: str
    """:data:`IN_DOMAIN` or :data:`OUT_OF_DOMAIN`."""
    ids: list[str]
    """One for each sound; file names are made of it."""
    names: list[str]
    """What the sounds are called."""
    sounds: list[Audio]
    """[T] each."""
    notes: list[Note]
    """That matches are played with."""
    presets: Values | None = None
    """The right ones [sounds, used], where they are known."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Reason by the id of a clip that could not be read."""


def order_of(identity: str) -> str:
    """Return what sounds are sorted by where some are chosen: a hash of what a sound is."""
    return hashlib.sha256(f"match:{identity}".encode()).hexdigest()


def chosen(identities: Sequence[str], most: int) -> list[int]:
    """Return the places of the sounds that are matched, sorted by their hashes; all for 0."""
    places = sorted(range(len(identities)), key=lambda place: order_of(identities[place]))
    return places[: most or None]


def of_presets(folder: str, split: str, most: int, made: dict[str, Any], studio: Studio, context: Context) -> Source:
    """Open the rows of a preset set.

    Raises:
        InvalidValueError: a set made otherwise than the training sounds, or without such rows.
    """
    presets = open_presets(context.resolve(folder))
    differing = {name: presets.meta.get(name) for name in MUST_AGREE if name != "audio_model" and presets.meta.get(name) != made.get(name)}
    if differing:
        allowed = {name: made.get(name) for name in differing}
        raise InvalidValueError("made otherwise than the training sounds", where="match_sound.presets", allowed=allowed, received=differing)
    rows = presets.rows(split)
    if not len(rows):
        raise InvalidValueError("no such rows", where="match_sound.split", allowed=sorted(set(presets.table["split"])), received=split)
    values = np.asarray(presets.parameters[rows], np.float32)
    identities = [hashlib.sha256(row.tobytes()).hexdigest()[:16] for row in values]
    picked = chosen(identities, most)
    sounds = Sounds(presets, rows[picked], "cpu", heard=False)
    names = [str(presets.table["name"][row] or f"preset {presets.table['index'][row]}") for row in sounds.rows]
    heard = right_sounds(sounds, list(range(len(picked))), studio)
    return Source(IN_DOMAIN, [identities[k] for k in picked], names, heard, sounds.notes(), values[picked])


def of_clips(folder: str, split: str, most: int, studio: Studio, context: Context) -> Source:
    """Decode the clips of a manifest, at the rate and length of the training sounds.

    Raises:
        InvalidValueError: no clips.
    """
    table = manifest.accepted(manifest.read(context.resolve(folder)))
    table = table[table["split"] == split].reset_index(drop=True) if split else table
    if not len(table):
        raise InvalidValueError("no clips", where="match_sound.clips", allowed="accepted clips", received=f"none in {folder} {split}")
    rate_hz, length = int(studio.made["sample_rate_hz"]), round(studio.made["duration_s"] * studio.made["sample_rate_hz"])
    found = Source(OUT_OF_DOMAIN, [], [], [], [])
    for place in chosen(list(table["clip_id"]), most):
        row = table.iloc[place]
        try:
            sound = audio.fit_length(audio.load_mono(context.resolve(row["path"]), rate_hz), length)
        except (soundfile.LibsndfileError, OSError) as error:
            found.unreadable[row["clip_id"]] = str(error)
            continue
        if not np.isfinite(sound).all():
            found.unreadable[row["clip_id"]] = "not finite"
            continue
        found.ids.append(row["clip_id"])
        found.names.append(f"{row['label']} {row['path'].rsplit('/', 1)[-1]}".strip())
        found.sounds.append(sound)
        found.notes.append(studio.first_note)
    return found
