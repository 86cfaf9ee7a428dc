"""Draws a split where the table has none, and keeps the same recording from sitting in two splits."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from tasks.prepare.table import Row


def draw(rows: Sequence[Row], val_share: float, test_share: float, seed: int) -> None:
    """Give every usable row a split, class by class, by the hash of seed and path: a row's split hangs on nothing but its class's rows."""
    by_label: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if not row.reason:
            by_label[row.label].append(row)
    for members in by_label.values():
        ordered = sorted(members, key=lambda row: hashlib.sha256(f"{seed}/{row.path}".encode()).hexdigest())
        tests, vals = round(test_share * len(ordered)), round(val_share * len(ordered))
        for position, row in enumerate(ordered):
            row.split = "test" if position < tests else "val" if position < tests + vals else "train"


def reject_leaks(rows: Sequence[Row], digests: dict[int, str]) -> None:
    """Where the same bytes occur in several splits, only the test copy (else the validation copy) stays.

    Args:
        rows: the table.
        digests: SHA-256 of the audio by line.
    """
    rank = {"test": 0, "val": 1, "train": 2}
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.line in digests and not row.reason:
            groups[digests[row.line]].append(row)
    for members in groups.values():
        keeper = min(members, key=lambda row: (rank[row.split], row.line))
        for row in members:
            if row is not keeper and row.split != keeper.split:
                row.reject("duplicate_of_other_split", "path", f"the same bytes as line {keeper.line}, which is in {keeper.split}")
