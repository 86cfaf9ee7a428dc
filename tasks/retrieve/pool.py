"""Which clips of the pool may be retrieved."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pandas as pd

KEPT_OUT = ("val", "test")


def digests(table: pd.DataFrame) -> set[str]:
    """Return the SHA-256 of every clip of a table: of its own file, and of the file it was decoded from."""
    sources = (json.loads(text).get("source_sha256", "") for text in table["parameters"])
    return {*table["sha256"], *sources} - {""}


def left_out(pool: pd.DataFrame, gold: pd.DataFrame, evaluation: pd.DataFrame | None) -> dict[str, str]:
    """Return why clips of the pool must not be retrieved, by clip_id; clips that may be are not listed.

    Of usable clips with the same bytes the first one by clip_id may be.

    Args:
        pool: the pool's manifest, sorted by clip_id.
        gold: the gold clips, used or not.
        evaluation: manifest of the prepared dataset, whose validation and test clips must never be trained on.
    """
    held = evaluation[evaluation["split"].isin(KEPT_OUT)] if evaluation is not None else gold.iloc[:0]
    gold_ids, held_ids = set(gold["clip_id"]), set(held["clip_id"])
    gold_bytes, held_bytes = digests(gold), digests(held)
    reasons: dict[str, str] = {}
    seen: set[str] = set()
    for row, own in zip(pool.itertuples(), _own_digests(pool), strict=True):
        ancestors = {row.clip_id, *row.parents}
        reason = (
            "evaluation" if ancestors & held_ids
            else "same_bytes_as_evaluation" if own & held_bytes
            else "not_train" if row.split in KEPT_OUT
            else "gold" if ancestors & gold_ids
            else "same_bytes_as_gold" if own & gold_bytes
            else "rejected" if row.status != "accepted"
            else "duplicate" if own & seen
            else ""
        )  # fmt: skip
        if reason:
            reasons[str(row.clip_id)] = reason
        else:
            seen |= own
    return reasons


def _own_digests(table: pd.DataFrame) -> Iterable[set[str]]:
    return (digests(table.iloc[number : number + 1]) for number in range(len(table)))
