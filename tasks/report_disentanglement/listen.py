"""Pictures and sounds of the trainings that are shown, copied beside the page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from core.context import Context
from core.errors import InvalidValueError
from tasks.report_disentanglement import scores
from tasks.report_disentanglement.scores import Method, Trained
from tasks.report_disentanglement.spec import Settings

ANIMATIONS = {"traversal_gif": "every code at once", "samples_gif": "samples", "reconstruction_gif": "reconstructions"}
"""Animations of a training, and what they show."""


class Shelf:
    """Copies what one ``plot_latents`` made into the page's assets, file by file as it is used."""

    def __init__(self, source: Path, target: Path, page: Path) -> None:
        self.source, self.target, self.page = source, target, page

    def __call__(self, name: str) -> str:
        """Return a file's address in the page.

        Raises:
            InvalidValueError: the name leaves the folder.
        """
        if name in ("", "..") or PurePosixPath(name).name != name:
            raise InvalidValueError("no plain file name", where=str(self.source), allowed="a name without folders", received=name)
        self.target.mkdir(parents=True, exist_ok=True)
        if not (self.target / name).exists():
            shutil.copyfile(self.source / name, self.target / name)
        return (self.target / name).relative_to(self.page).as_posix()


def shown(methods: Sequence[Method], settings: Settings, context: Context) -> list[dict[str, Any]]:
    """Return, for each method in order, its trainings with pictures (``settings.seeds_shown`` of them) ready for the page."""
    chosen = [
        (method, run)
        for method in methods
        for run in [trained for trained in method.runs if trained.run.pictures][: settings.seeds_shown]
    ]  # fmt: skip
    made = []
    for number, (method, run) in enumerate(chosen, start=1):
        made.append(_training(method, run, settings, context))
        context.progress(number, len(chosen), "models")
    return made


def _training(method: Method, run: Trained, settings: Settings, context: Context) -> dict[str, Any]:
    folder = context.resolve(run.run.pictures)
    shelf = Shelf(folder, context.output / "assets" / f"{method.name}-{run.run.seed}", context.output)
    listed = json.loads((folder / "pictures.json").read_text(encoding="utf-8"))
    name = method.spoken + (f", seed {run.run.seed}" if settings.seeds_shown > 1 else "")
    return {
        "id": f"{method.name}-{run.run.seed}", "method": method.name, "name": name, "seed": run.run.seed,
        "reconstructions": [_reconstruction(entry, shelf) for entry in listed["reconstructions"]],
        "samples": [
            {"title": entry["title"], "strip": shelf(entry["strip"]), "wav": shelf(entry["wav"])}
            for entry in listed["samples"][: settings.max_samples]
        ],
        **_traversals(listed, run, settings, shelf), "overview": shelf(listed["traversal_overview_svg"]),
        "animations": [(title, shelf(listed[key])) for key, title in ANIMATIONS.items()],
        "responses": shelf(listed["responses"]), "base": listed["base_title"], "sound": listed["sound"], "flagged": listed["flagged"],
        "facts": _facts(run),
    }  # fmt: skip


def _reconstruction(entry: dict[str, Any], shelf: Shelf) -> dict[str, Any]:
    files = {name: shelf(entry[name]) for name in ("strip", "svg", "original_wav", "resynthesis_wav", "reconstruction_wav")}
    return {"title": entry["title"], "clip": entry["clip"], **files}


def _traversals(listed: dict[str, Any], run: Trained, settings: Settings, shelf: Shelf) -> dict[str, Any]:
    """Return the traversals, the codes that carry most first; codes that carry nothing apart."""
    by_code = run.training.get("kl_per_dimension") or [np.inf] * len(listed["traversals"])
    made = []
    for entry in sorted(listed["traversals"], key=lambda one: -by_code[one["dimension"]]):
        dimension = entry["dimension"]
        kl = by_code[dimension]
        detail = [f"{kl:.2f} nats"] if np.isfinite(kl) else []
        made.append({
            "name": f"z{dimension + 1}", "detail": " · ".join([*detail, *_told(run, dimension)]), "used": kl >= settings.unused_below_nats,
            "strip": shelf(entry["strip"]),
            "steps": [
                {"value": f"{value:+.1f}".replace("-", "−"), "wav": shelf(wav)}
                for value, wav in zip(entry["values"], entry["wavs"], strict=True)
            ],
        })  # fmt: skip
    return {"traversals": [one for one in made if one["used"]], "unused": [one for one in made if not one["used"]]}


def _told(run: Trained, dimension: int) -> list[str]:
    """Return the factor that a code says most about, when it says something."""
    found = scores.matrix(run)
    if found is None or dimension >= found[2].shape[1]:
        return []
    factors, _, bits, entropies = found
    column = np.nan_to_num(bits[:, dimension])
    best = int((column / np.maximum(entropies, 1e-12)).argmax())
    return [f"{factors[best]} {column[best]:.2f} of {entropies[best]:.2f} bits"] if column[best] > 0.05 else []


def _facts(run: Trained) -> list[tuple[str, str]]:
    """Return what is to be known of a training before listening: numbers and their names."""
    found = run.training
    by_code = found.get("kl_per_dimension") or []
    listed = [
        (str(found.get("active_units", "–")), f"active units of {len(by_code)}" if by_code else "active units"),
        ("–" if run.effective_beta is None else f"{run.effective_beta:.3g}", "effective β"),
        (f"{sum(by_code):.1f}" if by_code else "–", "KL, nats"),
        ("–" if found.get("val_reconstruction") is None else f"{found['val_reconstruction']:.3g}", "validation error"),
    ]  # fmt: skip
    return listed


def side_by_side(trainings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the held-out clips that the trainings show, each with its original and every training's reconstruction."""
    clips: dict[int, dict[str, Any]] = {}
    for training in trainings:
        for entry in training["reconstructions"]:
            sounds = {"original": entry["original_wav"], "resynthesis": entry["resynthesis_wav"]}
            clip = clips.setdefault(entry["clip"], {"title": entry["title"], "strip": entry["strip"], **sounds, "others": []})
            clip["others"].append({"name": training["name"], "strip": entry["strip"], "wav": entry["reconstruction_wav"]})
    return [clips[number] for number in sorted(clips)]
