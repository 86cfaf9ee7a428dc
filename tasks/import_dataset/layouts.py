"""The published layouts, one reader each: which files there are, what they are called, and which fold or split they belong to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from core.errors import InvalidValueError
from tasks.import_dataset.spec import Request

SPLITS = {"train": "train", "valid": "val", "val": "val", "validation": "val", "test": "test"}
NSYNTH_PITCHES = (21, 108)
"""MIDI notes of a piano: HEAR takes no others."""
NSYNTH_SECONDS = 4.0
"""Of every clip."""
NSYNTH_SHARES = {"train": 0.75, "valid": 0.25, "test": 0.25}
"""Of the hours, HEAR's: with 5 hours 3,375, 1,125 and 1,125 clips."""
CREMA_EMOTIONS = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}


@dataclass(frozen=True)
class Clip:
    """One row of the table."""

    path: str
    """Relative to the root."""
    labels: tuple[str, ...]
    split: str = ""
    fold: str = ""


def read(request: Request, root: Path) -> list[Clip]:
    """Return the dataset's clips, sorted by path.

    Raises:
        InvalidValueError: the folder does not look like the layout; with what was looked for.
    """
    clips = READERS[request.layout](request, root)
    if not clips:
        raise InvalidValueError("no clips", where=str(root), allowed=f"the layout {request.layout}", received="none")
    return sorted(clips, key=lambda clip: clip.path)


def _esc50(_: Request, root: Path) -> list[Clip]:
    """ESC-50 (Piczak, 2015): meta/esc50.csv and audio/; its five folds."""
    table = _table(root / "meta" / "esc50.csv", ("filename", "fold", "category"))
    return [Clip(f"audio/{row['filename']}", (row["category"],), fold=row["fold"]) for row in table]


def _urbansound8k(_: Request, root: Path) -> list[Clip]:
    """UrbanSound8K (Salamon et al., 2014): metadata/UrbanSound8K.csv and audio/fold1 … fold10; its ten folds."""
    table = _table(root / "metadata" / "UrbanSound8K.csv", ("slice_file_name", "fold", "class"))
    return [Clip(f"audio/fold{row['fold']}/{row['slice_file_name']}", (row["class"],), fold=row["fold"]) for row in table]


def _vivae(_: Request, root: Path) -> list[Clip]:
    """VIVAE (Holz et al., 2022): full_set/S<speaker>_<emotion>_<intensity>_<number>.wav; a fold for each of the 11 speakers, as in ARCH."""
    found = []
    for path in _sounds(root, "full_set"):
        match = re.fullmatch(r"S(\d+)_([^_]+)_.+", path.stem)
        if match:
            found.append(Clip(_relative(path, root), (match[2],), fold=str(int(match[1]))))
    return found


def _crema_d(request: Request, root: Path) -> list[Clip]:
    """CREMA-D (Cao et al., 2014): AudioWAV/<actor>_<sentence>_<emotion>_<intensity>.wav; folds of whole actors.

    HEAR deals single clips, so that every voice is known from training; for its folds take its own files (layout hear).
    """
    found = []
    for path in _sounds(root, "AudioWAV"):
        parts = path.stem.split("_")
        if len(parts) >= 3 and parts[2] in CREMA_EMOTIONS:
            found.append(Clip(_relative(path, root), (CREMA_EMOTIONS[parts[2]],), fold=_dealt(parts[0], request)))
    return found


def _libricount(request: Request, root: Path) -> list[Clip]:
    """LibriCount (Stöter et al., 2018): test/<speakers>_<name>.wav, 0 to 10 speakers; dealt clip by clip, as by HEAR."""
    return [
        Clip(_relative(path, root), (path.stem.split("_")[0],), fold=_dealt(path.stem, request))
        for path in _sounds(root, "test") if path.stem.split("_")[0].isdigit()
    ]  # fmt: skip


def _vocal_imitation(request: Request, root: Path) -> list[Clip]:
    """Vocal Imitation Set (Kim et al., 2018): vocal_imitations.txt and vocal_imitations/included/; the label is the imitated recording.

    Dealt clip by clip, as by HEAR: participants made few imitations each.
    """
    table = _table(root / "vocal_imitations.txt", ("imitation_filename", "reference_filename", "included"), separator="\t")
    places = {path.name: _relative(path, root) for path in _sounds(root, "vocal_imitations/included")}
    found = []
    for row in table:
        if row["included"].strip().lower() in ("1", "true", "yes"):
            name = row["imitation_filename"]
            path = places.get(name, f"vocal_imitations/included/{name}")
            found.append(Clip(path, (row["reference_filename"],), fold=_dealt(Path(name).stem, request)))
    return found


def _fsd50k(_: Request, root: Path) -> list[Clip]:
    """FSD50K (Fonseca et al., 2022): FSD50K.ground_truth/dev.csv (with train and val) and eval.csv, FSD50K.dev_audio, FSD50K.eval_audio."""
    truth = root / "FSD50K.ground_truth"
    parts = (("dev", _table(truth / "dev.csv", ("fname", "labels", "split"))), ("eval", _table(truth / "eval.csv", ("fname", "labels"))))
    return [
        Clip(f"FSD50K.{part}_audio/{row['fname']}.wav", tuple(row["labels"].split(",")), SPLITS[row["split"]] if part == "dev" else "test")
        for part, table in parts for row in table
    ]  # fmt: skip


def _nsynth(request: Request, root: Path) -> list[Clip]:
    """NSynth (Engel et al., 2017): nsynth-<split>/examples.json and audio/; the label is the MIDI pitch, 21 to 108.

    HEAR's own 5 hours are drawn in its own way; for them take its files (layout hear).
    """
    found = []
    for part, share in NSYNTH_SHARES.items():
        table = _json(root / f"nsynth-{part}" / "examples.json")
        names = [name for name, about in table.items() if NSYNTH_PITCHES[0] <= int(about["pitch"]) <= NSYNTH_PITCHES[1]]
        most = int(request.settings.hours * 3600 * share / NSYNTH_SECONDS) if request.settings.hours else len(names)
        kept = sorted(names, key=lambda name: _number(name, request.settings.seed))[:most]
        found += [Clip(f"nsynth-{part}/audio/{name}.wav", (str(int(table[name]["pitch"])),), SPLITS[part]) for name in kept]
    return found


def _hear(request: Request, root: Path) -> list[Clip]:
    """A task of HEAR (Turian et al., 2022): <rate>/<part>/<file>, and <part>.json with each file's labels; parts are splits or folds.

    Raises:
        InvalidValueError: no such rate, or parts that are neither.
    """
    rates = sorted(int(folder.name) for folder in _folders(root) if folder.name.isdigit())
    rate = request.settings.sample_rate_hz or (16000 if 16000 in rates else rates[0] if rates else 0)
    if rate not in rates:
        raise InvalidValueError("no such rate", where=str(root), allowed=rates or "<rate>/<split>/<file>", received=rate)
    found = []
    for folder in _folders(root / str(rate)):
        part = folder.name
        match = re.fullmatch(r"fold(\d+)", part)
        if not match and part not in SPLITS:
            raise InvalidValueError("neither split nor fold", where=str(folder), allowed=(*SPLITS, "fold00 …"), received=part)
        place = {"fold": str(int(match[1]) + 1)} if match else {"split": SPLITS[part]}
        for name, labels in _json(root / f"{part}.json").items():
            words = labels if isinstance(labels, list) else [labels]
            found.append(Clip(f"{rate}/{part}/{name}", tuple(str(word) for word in words), **place))
    return found


READERS: dict[str, Callable[[Request, Path], list[Clip]]] = {
    "hear": _hear, "esc50": _esc50, "urbansound8k": _urbansound8k, "vivae": _vivae, "nsynth": _nsynth, "crema_d": _crema_d,
    "fsd50k": _fsd50k, "vocal_imitation": _vocal_imitation, "libricount": _libricount,
}  # fmt: skip


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir())


def _table(path: Path, needed: Iterable[str], separator: str = ",") -> list[dict[str, str]]:
    """Read a dataset's own table.

    Raises:
        InvalidValueError: no such file, or a column is missing.
    """
    if not path.is_file():
        raise InvalidValueError("the dataset's table is missing", where=str(path.parent), allowed=path.name, received="nothing there")
    table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise InvalidValueError("columns missing", where=str(path), allowed=tuple(needed), received=list(table.columns))
    return [{str(name): str(value) for name, value in row.items()} for row in table.to_dict("records")]


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InvalidValueError("the dataset's table is missing", where=str(path.parent), allowed=path.name, received="nothing there")
    loaded = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(loaded, dict):
        raise InvalidValueError("no mapping", where=str(path), allowed="names and what they are", received=type(loaded).__name__)
    return loaded


def _sounds(root: Path, folder: str) -> list[Path]:
    """Return the sound files below a folder of the root.

    Raises:
        InvalidValueError: no such folder.
    """
    place = root / folder
    if not place.is_dir():
        raise InvalidValueError("the dataset's folder is missing", where=str(root), allowed=f"{folder}/", received="nothing there")
    return sorted(path for path in place.rglob("*") if path.suffix.lower() in (".wav", ".flac", ".ogg"))


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _number(name: str, seed: int) -> int:
    return int(hashlib.sha256(f"{seed}/{name}".encode()).hexdigest(), 16)


def _dealt(name: str, request: Request) -> str:
    """Return the fold, 1 …, of a clip or a whole speaker by its name."""
    return str(1 + _number(name, request.settings.seed) % request.settings.folds)
