"""Deals the rows of a grid to train, validation and test, so that no combination lies in two of them."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.errors import InvalidValueError, nearest
from tasks.featurise.spec import Settings

LEGACY_RANDOM_STATE, LEGACY_TEST_SHARE = 42, 0.2
Names = npt.NDArray[Any]


def split_of(table: pd.DataFrame, settings: Settings) -> Names:
    """Return ``train``, ``val`` or ``test`` for every row.

    Raises:
        InvalidValueError: ``split_by`` names no factor of the grid, or a split that should have rows would have none.
    """
    found = legacy_split(len(table), settings) if settings.legacy_split else by_group(table, settings)
    wanted = {"train": 1.0, "val": settings.val_fraction, "test": LEGACY_TEST_SHARE if settings.legacy_split else settings.test_fraction}
    for name, share in wanted.items():
        if share and not (found == name).any():
            hint = "a grid with more combinations, or split_by with more factors, or a fraction of 0"
            raise InvalidValueError(f"no clip is left for {name}", where="featurise.split_by", allowed="one or more", received=0, hint=hint)
    return found


def by_group(table: pd.DataFrame, settings: Settings) -> Names:
    """Deal the combinations of ``split_by``: shuffled by the seed and their values, the first share tests, the next validates."""
    for name in settings.split_by:
        if name not in table.columns or name == "index":
            known = [column for column in table.columns if column != "index"]
            raise InvalidValueError("no such factor", where="featurise.split_by", received=name, hint=nearest(name, known))
    groups = table.groupby(list(settings.split_by), sort=True).ngroup().to_numpy()
    members = table.loc[~pd.Series(groups).duplicated().to_numpy(), list(settings.split_by)]
    keys = {int(groups[row]): _rank(settings.seed, values) for row, values in zip(members.index, members.to_numpy().tolist(), strict=True)}
    order = sorted(keys, key=lambda group: keys[group])
    test, val = (_share(len(order), share) for share in (settings.test_fraction, settings.val_fraction))
    names = np.full(len(order), "train", dtype=object)
    names[order[:test]] = "test"
    names[order[test : test + val]] = "val"
    return names[groups]


def _share(count: int, share: float) -> int:
    """Return a share of a number, at least 1 unless the share is 0 or nothing would be left."""
    return min(max(1, round(count * share)), max(0, count - 2)) if share else 0


def _rank(seed: int, values: list[Any]) -> bytes:
    """Return where a combination stands in the shuffle; it hangs on the seed and the combination only."""
    return hashlib.sha256(repr((seed, [float(value) for value in values])).encode()).digest()


def legacy_split(count: int, settings: Settings) -> Names:
    """Deal rows as ``train_test_split(range(count), test_size=0.2, random_state=42)`` does; part of the train rows then validate.

    scikit-learn permutes the rows with ``numpy.random.RandomState(42)``, takes the first ⌈0.2 n⌉ for the test and the next ones to train.
    """
    order = np.random.RandomState(LEGACY_RANDOM_STATE).permutation(count)
    test = math.ceil(LEGACY_TEST_SHARE * count)
    names = np.full(count, "train", dtype=object)
    names[order[:test]] = "test"
    names[order[test:][: _share(count - test, settings.val_fraction)]] = "val"
    return names
