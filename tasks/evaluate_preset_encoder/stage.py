"""Embeds the presets once, scores them, and writes scores, ranks, projection and nearest presets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from core import atomic
from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from tasks.evaluate_preset_encoder import pools, projection, retrieval
from tasks.evaluate_preset_encoder.pools import Pool, open_pool
from tasks.evaluate_preset_encoder.spec import Request, Result
from tasks.matmul import use_fast_float32
from tasks.preset_encoders import encoder as encoders
from tasks.preset_encoders.examples import digest
from tasks.preset_encoders.fitting import DISTANCES
from tasks.preset_encoders.protocols import subset
from tasks.preset_encoders.ranking import Distance


def run(request: Request, context: Context) -> Result:
    """Score one encoder."""
    torch.set_num_threads(context.threads)
    encoder, spec, about = encoders.load(context.locate(request.model), context.device)
    use_fast_float32(context.device, len(spec.used) + 1)
    settings, distance = request.settings, DISTANCES[about["loss"]]
    open_ = lambda folder, split: open_pool(context.resolve(folder), split, encoder, about, settings, context.device)  # noqa: E731
    found = {"sampled": open_(request.sampled, "test")}
    if request.hand_crafted:
        found["hand_crafted"] = open_(request.hand_crafted, hand_crafted_rows(request, about, context))
    context.progress(1, 4, "parts")
    told: dict[str, Any] = {
        "model": about["name"], "parameters": encoders.parameter_count(encoder), "synth": spec.name, "distance": distance,
        "audio_model": found["sampled"].presets.meta["audio_model"], "settings": to_dict(settings),
        "validation": pools.validation(open_(request.val or request.sampled, "val"), settings, distance),
    }  # fmt: skip
    context.progress(2, 4, "parts")
    for name, pool in found.items():
        told[name] = pools.scores(pool, settings, distance)
        write_ranks(name, pool, request, distance, context)
    told["difference_percent"] = difference(told) if request.hand_crafted else None
    context.progress(3, 4, "parts")
    told["projection"] = "none" if settings.projection == "none" else projection.write(found, settings, context)
    listed: dict[str, Any] = {name: retrieval.of_presets(pool, settings, distance) for name, pool in found.items()}
    if request.sounds:
        listed["sounds"] = retrieval.of_files(request, found, encoder, distance, context)
    atomic.write_json(context.output / "nearest.json", listed)
    atomic.write_json(context.output / "scores.json", told)
    context.progress(4, 4, "parts")
    return _result(told)


def hand_crafted_rows(request: Request, about: dict[str, Any], context: Context) -> str:
    """Return the split of the set made by hand that is scored; empty for all rows.

    Raises:
        InvalidValueError: all rows of a set that the encoder was trained on.
    """
    if request.settings.hand_crafted_split == "test":
        return "test"
    if digest(context.resolve(request.hand_crafted)) in about["trained_on"]:
        hint = "the encoder was tuned on this set"
        raise InvalidValueError("training presets would be scored", where="evaluate_preset_encoder.hand_crafted_split", allowed="test",
                                received="all", hint=hint)  # fmt: skip
    return ""


def difference(told: dict[str, Any]) -> dict[str, float]:
    """Return the relative difference of presets made by hand from drawn ones, 100 (h − d) / d, of the MRR and of the L1."""
    first, second = (told[name] for name in ("sampled", "hand_crafted"))
    mrr = [part["ranks"]["preset_query"]["mrr"]["mean"] for part in (first, second)]
    return {"mrr": 100 * (mrr[1] - mrr[0]) / mrr[0], "l1": 100 * (second["l1"] - first["l1"]) / first["l1"]}


def write_ranks(name: str, pool: Pool, request: Request, distance: Distance, context: Context) -> None:
    """Write where each preset of the first run came, in both directions: ``ranks_<set>.parquet``."""
    settings = request.settings
    members = subset(len(pool), settings.subset, settings.seed)
    found = pools.ranked(pool, torch.from_numpy(members), None, distance)
    table = pd.DataFrame({
        "row": pool.rows[members], "name": [pool.name(int(place)) for place in members], "l1": pool.errors[members].astype(np.float32),
        **{f"rank_{direction}": ranks.mean_rank.numpy() for direction, ranks in found.items()},
    })  # fmt: skip
    with atomic.replacing(context.output / f"ranks_{name}.parquet") as temporary:
        table.to_parquet(temporary, index=False)


def _result(told: dict[str, Any]) -> Result:
    validation, sampled, by_hand = told["validation"], told["sampled"], told.get("hand_crafted")
    return Result(
        model=told["model"], val_mrr=validation["mrr"], val_rankings=validation["rankings"], val_candidates=validation["candidates"],
        mrr=sampled["ranks"]["preset_query"]["mrr"]["mean"], mrr_audio_query=sampled["ranks"]["audio_query"]["mrr"]["mean"],
        l1=sampled["l1"], subset=sampled["subset"], chance_mrr=sampled["chance"]["mrr"],
        hand_crafted_mrr=by_hand["ranks"]["preset_query"]["mrr"]["mean"] if by_hand else None,
        hand_crafted_l1=by_hand["l1"] if by_hand else None,
    )  # fmt: skip
