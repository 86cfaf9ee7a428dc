"""Pairs that were synthesised to disk: as many as there are, every pair once a pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.train_contrastive.passes import Passes, Views
from tasks.train_contrastive.spec import Request

VIEWS = ("a", "b")


class Stored(Passes):
    """Pairs of a folder of ``synthesize``; its train pairs are trained on, its validation pairs looked at.

    Args:
        request: names the folder.
        context: of the stage.

    Raises:
        InvalidValueError: no whole pairs of one split.
    """

    clips = 0

    def __init__(self, request: Request, context: Context) -> None:
        self.settings, self.context = request.settings, context
        table = manifest.accepted(manifest.read(context.resolve(request.pairs)))
        parts: dict[str, dict[str, dict[str, Any]]] = {"train": {}, "val": {}}
        for row in table.to_dict("records"):
            about = json.loads(row["parameters"])
            if row["split"] in parts and {"pair", "view"} <= set(about):
                parts[row["split"]].setdefault(about["pair"], {})[about["view"]] = {"path": row["path"], "unit": about.get("unit", [])}
        whole = {split: [(name, found[name]) for name in sorted(found) if set(found[name]) == set(VIEWS)] for split, found in parts.items()}
        if len(whole["train"]) < 2:
            received = len(whole["train"])
            raise InvalidValueError("too few pairs", where=request.pairs, allowed="two whole train pairs or more", received=received)
        if not whole["val"]:
            context.log("no validation pairs; looking at training pairs")
        self.all, self.digest = [*whole["train"], *whole["val"]], manifest.digest(table)
        super().__init__(request.seed, [name for name, _ in self.all], len(whole["train"]))

    def views(self, keys: list[int]) -> Views:
        """Return the views of pairs, cut or padded to their length."""
        found = [self.all[key % len(self.all)][1] for key in keys]
        first, second = (torch.from_numpy(np.stack([self._sound(pair[view]) for pair in found])) for view in VIEWS)
        parameters = {
            name: torch.tensor([pair[view]["unit"] for pair in found]) for name, view in zip(("first", "second"), VIEWS, strict=True)
        }
        return Views(first, second, None, parameters)

    def _sound(self, view: Mapping[str, Any]) -> audio.Samples:
        settings = self.settings
        sound = audio.load_mono(self.context.resolve(view["path"]), settings.sample_rate_hz)
        return audio.fit_length(sound, round(settings.duration_s * settings.sample_rate_hz))
