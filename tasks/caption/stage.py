"""Writes the gold manifest again, with captions and the components they were made of in ``parameters``."""

from __future__ import annotations

import hashlib
import json
import math

import numpy as np
import pandas as pd

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.caption import descriptors, grammar
from tasks.caption.spec import Request, Result, Settings


def template(label: str) -> str:
    """Return the published template caption, the label with spaces for underscores."""
    return f"Sound of a {grammar.spoken(label)}"


def seeded(seed: int, *names: str) -> np.random.Generator:
    """Return a generator that hangs on the seed and the names only, never on the order of the clips."""
    digest = hashlib.sha256("/".join([str(seed), *names]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def pool(components: dict[str, list[str]], fraction: float, rng: np.random.Generator) -> list[str]:
    """Return a sample without replacement of a class's components.

    Args:
        components: phrases by clip, over the whole class.
        fraction: share to keep, rounded up.
        rng: decides which.
    """
    flat = sorted({phrase for phrases in components.values() for phrase in phrases})
    kept = math.ceil(fraction * len(flat))
    return [flat[index] for index in sorted(rng.permutation(len(flat))[:kept])]


def run(request: Request, context: Context) -> Result:
    """Caption every clip.

    Raises:
        InvalidValueError: a clip is not a train clip; validation and test clips never reach a caption.
    """
    settings = request.settings
    table = manifest.accepted(manifest.read(context.resolve(request.clips)))
    wrong = table[table["split"] != "train"]
    if len(wrong):
        raise InvalidValueError(
            "clips that are not train clips", where=request.clips, allowed="split train", received=list(wrong["clip_id"])[:5]
        )
    made = _mixcap(table, settings, context) if settings.mode == "mixcap" else _templates(table)
    parameters = [json.loads(text) | made[clip] for clip, text in zip(table["clip_id"], table["parameters"], strict=True)]
    table["caption"] = [part["captions"][0] for part in parameters]
    table["parameters"] = [json.dumps(part, sort_keys=True, ensure_ascii=False) for part in parameters]
    manifest.write(context.output, table)
    captions = [caption for part in parameters for caption in part["captions"]]
    words = float(np.mean([len(caption.split()) for caption in captions]))
    return Result(clips=len(table), captions=len(captions), distinct=len(set(captions)), mean_words=round(words, 2))


def _templates(table: pd.DataFrame) -> dict[str, dict[str, object]]:
    return {row.clip_id: {"captions": [template(str(row.label))]} for row in table.itertuples()}


def _mixcap(table: pd.DataFrame, settings: Settings, context: Context) -> dict[str, dict[str, object]]:
    """Measure every clip, pool the components over each class, write captions from each clip's share of the pool."""
    found: dict[str, dict[str, object]] = {}
    events: dict[str, dict[str, list[str]]] = {}
    scenes: dict[str, dict[str, list[str]]] = {}
    for number, row in enumerate(table.itertuples(), start=1):
        measured = descriptors.measure(audio.load_mono(context.resolve(str(row.path)), descriptors.RATE_HZ))
        label, clip = str(row.label), str(row.clip_id)
        events.setdefault(label, {})[clip] = grammar.without_label(grammar.events(measured), label)
        scenes.setdefault(label, {})[clip] = grammar.without_label(grammar.scenes(measured, label), label)
        found[clip] = {"descriptors": measured.as_dict(), "events": events[label][clip], "scenes": scenes[label][clip]}
        context.progress(number, len(table))
    for row in table.itertuples():
        label, clip = str(row.label), str(row.clip_id)
        rng = seeded(settings.seed, "mixcap", clip)
        pooled = [pool(kind[label], settings.pool_fraction, rng) for kind in (events, scenes)]
        found[clip]["captions"] = [
            grammar.sentence(rng, label, pooled[0], pooled[1], settings.max_words) for _ in range(settings.captions_per_clip)
        ]  # fmt: skip
    return found
