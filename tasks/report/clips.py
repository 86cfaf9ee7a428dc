"""Clips to look at and listen to: linked or copied into the page's assets, a share of them drawn, and told in a script beside the page."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from core import atomic, audio, manifest
from core.context import Context
from core.contract import load_spec
from core.errors import InvalidValueError
from core.gallery import pictures
from core.gallery.page import write_script
from tasks.report.spec import Request

FILE = "clips.js"
"""The script beside the page that holds the clips: a page from a file may run a script beside it, but not read any other file."""
COLUMNS = (
    "id", "label", "kind", "source", "size", "round", "caption", "seconds", "rate", "scores", "reason", "own", "parents", "settings",
    "folder", "suffix", "pictured",
)  # fmt: skip
"""What a clip's row in :data:`FILE` holds, in this order."""
OWN = ("seed", "iteration", "caption_index", "partner", "revised_from", "line", "source_path", "source_sha256", "table")
"""Parameters that differ from clip to clip; the rest of them are kept once for all clips that share them."""
LENGTHY = ("captions", "descriptors", "events", "scenes", "round")
"""Parameters that the page does not show: they are those of other clips, or shown otherwise."""
SOUNDS = (".wav", ".flac", ".ogg", ".mp3")
"""What a browser plays as it is."""


def first_draws(request: Request) -> dict[int, int]:
    """Return each size's first draw, the one that clips are shown of."""
    found: dict[int, int] = {}
    for run in (*request.gold, *request.synthetic):
        found.setdefault(run.num_samples, run.draw)
    return found


def write(request: Request, context: Context) -> tuple[int, int]:
    """Write :data:`FILE` and the assets of the clips it lists; returns how many clips are listed and how many are not."""
    everything = _everything(request, context)
    picked = _picked(everything, request)
    script = _Script()
    for number, row in enumerate(picked.to_dict("records"), start=1):
        script.add(row, _asset(row, context), context)
        context.progress(number, len(picked))
    write_script(context.output / FILE, "synthloomClips", {"columns": COLUMNS, "command": request.command, **script.told()})
    return len(picked), len(everything) - len(picked)


def _everything(request: Request, context: Context) -> pd.DataFrame:
    """Return all clips of each size's first draw that have a sound, each once."""
    draws, tables = first_draws(request), []
    for run in request.gold:
        if draws[run.num_samples] == run.draw:
            table = manifest.read(context.resolve(run.path))
            tables.append(table.assign(kind="gold", source="", size=run.num_samples, round=0, listed=run.path))
    for run in request.synthetic:
        if draws[run.num_samples] == run.draw:
            for number, folder in enumerate(run.filtered):
                table = manifest.read(context.resolve(folder))
                about = {"source": spoken(run.source), "size": run.num_samples, "round": number, "listed": folder}
                tables.append(table.assign(kind=table["status"], **about))
    # A larger draw holds the smaller one's clips, and equal work is one folder: a clip is shown once.
    everything = pd.concat(tables, ignore_index=True).drop_duplicates(["clip_id", "source"])
    return everything[~everything["path"].str.startswith("rejected/")]


def _picked(everything: pd.DataFrame, request: Request) -> pd.DataFrame:
    """Return the clips to list: all gold clips, which others come from, then every size, class, kind and source in turn.

    The column ``pictured`` says which are drawn beforehand, again in turn.
    """
    group = ["size", "label", "kind", "source"]
    turned = everything.assign(turn=everything.groupby(group).cumcount(), other=everything["kind"] != "gold")
    listed = turned.sort_values(["other", "turn", *group]).head(request.settings.max_clips)
    drawn = listed.sort_values(["turn", *group]).head(request.settings.max_pictures).index
    rank = {"gold": 0, "accepted": 1, "rejected": 2}
    listed = listed.assign(rank=listed["kind"].map(rank), pictured=listed.index.isin(drawn))
    return listed.sort_values(["size", "label", "rank", "source", "turn"])


def spoken(name: str) -> str:
    """Return a source's name as it is said."""
    return name.replace("_", " ")


def player(clip_id: str, path: str, context: Context) -> dict[str, str]:
    """Copy a clip as WAV and draw it, unless it is there already; returns the addresses of both, relative to the page."""
    source = context.resolve(path)
    # WAV, since libsndfile writes FLAC without a seek table and chromium's player is dead after a jump near the end of such a file.
    target = context.output / "assets" / f"{clip_id}.wav"
    target.parent.mkdir(exist_ok=True)
    picture = target.with_suffix(".png")
    if not picture.exists():
        audio.write(target, *audio.read(source), "PCM_16")
        pictures.write_spectrogram(picture, source)
    return {"audio": f"assets/{target.name}", "picture": f"assets/{picture.name}"}


def _asset(row: dict[str, Any], context: Context) -> str:
    """Put a clip's sound among the assets and return its suffix: drawn clips as WAV, the rest linked as they are, which costs no disk."""
    if row["pictured"]:
        player(row["clip_id"], row["path"], context)
        return "wav"
    source = context.resolve(row["path"])
    if source.suffix not in SOUNDS:
        audio.write(context.output / "assets" / f"{row['clip_id']}.wav", *audio.read(source), "PCM_16")
        return "wav"
    atomic.link(source, context.output / "assets" / f"{row['clip_id']}{source.suffix}")
    return source.suffix.removeprefix(".")


class _Script:
    """Collects the clips for the browser; what many of them share is kept once and meant by its number."""

    def __init__(self) -> None:
        self.shared: dict[str, dict[str, int]] = {name: {} for name in ("labels", "kinds", "sources", "sizes", "settings", "folders")}
        self.scores: dict[str, int] = {}
        self.rows: list[list[Any]] = []

    def _number(self, name: str, value: Any) -> int:
        known = self.shared[name]
        return known.setdefault(json.dumps(value, sort_keys=True, ensure_ascii=False), len(known))

    def add(self, row: dict[str, Any], suffix: str, context: Context) -> None:
        """Add one clip: a row of the manifest with ``kind``, ``source``, ``size``, ``round``, ``listed`` and ``pictured``."""
        parameters, scores = json.loads(row["parameters"]), json.loads(row["scores"])
        for name in scores:
            self.scores.setdefault(name, len(self.scores))
        own = {name: parameters[name] for name in OWN if parameters.get(name) not in (None, "")}
        settings = {name: value for name, value in parameters.items() if name not in OWN and name not in LENGTHY}
        shared = [self._number(f"{name}s", row[name]) for name in ("label", "kind", "source", "size")]
        self.rows.append([
            row["clip_id"], *shared, row["round"], row["caption"], round(row["duration_s"], 3), row["sample_rate_hz"],
            [scores.get(name) for name in self.scores], row["reason"], own, list(row["parents"]), self._number("settings", settings),
            self._number("folders", _folder(row)), suffix, int(row["pictured"]),
        ])  # fmt: skip

    def told(self) -> dict[str, Any]:
        """Return everything for the script."""
        return {
            **{name: [json.loads(text) for text in known] for name, known in self.shared.items()},
            "scores": [*self.scores],
            "rows": self.rows,
        }


def _folder(row: dict[str, Any]) -> dict[str, str]:
    """Return what made a clip and where it is listed, with the command that does this step again by hand."""
    made = "/".join(PurePosixPath(row["path"]).parts[:3])
    _, stage, key = PurePosixPath(made).parts if made.startswith("stages/") and made.count("/") == 2 else ("", row["origin"], "")
    about = {"stage": stage, "made": made, "listed": row["listed"], "again": f"again/{stage}-{key}", "by_hand": ""}
    try:
        environment = load_spec(stage).STAGE.environment
    except InvalidValueError:
        return about  # a stage that was removed since
    if key:
        root = "${SYNTHLOOM_DATA:-data}"  # the output lies below it too: a manifest's paths never leave the data root
        request = f"{root}/attempts/{stage}/{key}/001/request.json"
        about["by_hand"] = f"envs/{environment}/.venv/bin/python -m core.host {stage} {request} --output {root}/{about['again']}"
    return about
