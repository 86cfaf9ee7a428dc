"""Draws a split where the table has none, and keeps the same recording from sitting in two splits."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from tasks.prepare.table import Row


def draw(rows: Sequence[Row], val_share: float, test_share: float, seed: int, by_class: bool = True) -> None:
    """Give every usable row a split by the hash of seed and path: a row's split hangs on nothing but its class's rows.

    Args:
        rows: the rows to divide.
        val_share: share of each class that becomes val.
        test_share: share of each class that becomes test.
        seed: seed of the draw.
        by_class: whether every class is divided by itself; otherwise all rows together, as where a clip has several labels.
    """
    by_label: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if not row.reason:
            by_label[row.label if by_class else ""].append(row)
    for members in by_label.values():
        ordered = sorted(members, key=lambda row: hashlib.sha256(f"{seed}/{row.path}".encode()).hexdigest())
        tests, vals = round(test_share * len(ordered)), round(val_share * len(ordered))
        for position, row in enumerate(ordered):
            row.split = "test" if position < tests else "val" if position < tests + vals else "train"


def reject_leaks(rows: Sequence[Row], digests: dict[tuple[str, int], str]) -> None:
    """Where the same bytes occur in several splits, only the test copy (else the validation copy) stays.

    Args:
        rows: the table.
        digests: SHA-256 of the audio by table and line.
    """
    rank = {"test": 0, "val": 1, "train": 2}
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.place in digests and not row.reason:
            groups[digests[row.place]].append(row)
    for members in groups.values():
        keeper = min(members, key=lambda row: (rank[row.split], row.line))
        for row in members:
            if row is not keeper and row.split != keeper.split:
                same, table = "file" if row.path == keeper.path else "bytes", "" if row.table == keeper.table else f" of {keeper.table}"
                detail = f"the same {same} as line {keeper.line}{table} ({keeper.path}), which is in {keeper.split}"
                row.reject("duplicate_of_other_split", "path", detail)
