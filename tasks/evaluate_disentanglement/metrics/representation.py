"""What the metrics take: ground-truth factors and codes, as two types, so that they cannot change places unnoticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidValueError

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
KINDS = ("nominal", "continuous")
BINS = 10
"""Equal bins that a continuous column is cut into, as in the Ubisoft set."""
ON_EDGE = 1e-9
"""A value this close below a bin's edge lies on it: 0.3 scaled to 0…1 must not change bins by rounding."""
RIGHT_LINE = "metrics.mig(metrics.Factors(v, kinds=('nominal', 'continuous', …), names=('waveform', 'frequency', …)), metrics.Codes(z))"


@dataclass(frozen=True, eq=False)
class Factors:
    """Ground-truth factors of N clips.

    Raises:
        InvalidValueError: not [N, K] finite numbers, not a kind for each column, classes that are no whole numbers, or a factor that
            never varies.
    """

    values: Array
    """[N, K]: a nominal column holds class indexes, a continuous one values in any unit."""
    kinds: tuple[str, ...]
    """``nominal`` or ``continuous``, one for each column."""
    names: tuple[str, ...] = ()
    """Names of the columns; v1, v2, … when left out."""

    def __post_init__(self) -> None:
        values = _table(self.values, "Factors.values")
        names = tuple(self.names) or tuple(f"v{k + 1}" for k in range(values.shape[1]))
        for where, given in (("Factors.kinds", self.kinds), ("Factors.names", names)):
            if len(given) != values.shape[1]:
                raise InvalidValueError("one for each column is needed", where=where, allowed=f"{values.shape[1]} entries", received=given)
        for kind, name, column in zip(self.kinds, names, values.T, strict=True):
            if kind not in KINDS:
                raise InvalidValueError("no such kind of factor", where=f"Factors.kinds ({name})", allowed=KINDS, received=kind)
            if kind == "nominal" and not np.array_equal(column, np.round(column)):
                hint = "are these codes? the factors come first, the codes second"
                raise InvalidValueError("classes must be whole numbers", where=f"Factors.values ({name})", received=column[:5], hint=hint)
            if column.min() == column.max():
                hint = "leave the column out, or evaluate rows in which it varies"
                raise InvalidValueError("never varies", where=f"Factors.values ({name})", received=float(column[0]), hint=hint)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "kinds", tuple(self.kinds))
        object.__setattr__(self, "names", names)

    @property
    def number(self) -> int:
        """K, the number of factors."""
        return self.values.shape[1]

    def rows(self, chosen: NDArray[Any]) -> Factors:
        """Return the factors of the chosen clips (indexes or a mask)."""
        return Factors(self.values[chosen], self.kinds, self.names)

    def labels(self, bins: int = BINS) -> Labels:
        """Return [N, K] whole numbers from 0: nominal columns keep their classes, continuous ones are cut into equal bins."""
        columns = [
            np.unique(column, return_inverse=True)[1] if kind == "nominal" else binned(column[:, None], bins)[:, 0]
            for kind, column in zip(self.kinds, self.values.T, strict=True)
        ]
        return np.stack(columns, axis=1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Codes:
    """Codes (latents) of the same N clips.

    Raises:
        InvalidValueError: not [N, D] finite numbers, or ``log_variance`` of another shape.
    """

    values: Array
    """[N, D]: usually the means μ of q(z|x)."""
    log_variance: Array | None = None
    """[N, D] log σ² of q(z|x), when known: needed to sample codes and to know which dimensions carry information."""

    def __post_init__(self) -> None:
        values = _table(self.values, "Codes.values")
        object.__setattr__(self, "values", values)
        if self.log_variance is not None:
            spread = _table(self.log_variance, "Codes.log_variance")
            if spread.shape != values.shape:
                raise InvalidValueError("another shape", where="Codes.log_variance", allowed=values.shape, received=spread.shape)
            object.__setattr__(self, "log_variance", spread)

    @property
    def number(self) -> int:
        """D, the number of codes."""
        return self.values.shape[1]

    @cached_property
    def kl(self) -> Array:
        """[D] mean KL(q(z_j|x) ‖ N(0, 1)) in nats; without variances infinity where a code varies, 0 where it does not."""
        if self.log_variance is None:
            return np.where(np.ptp(self.values, axis=0) > 0, np.inf, 0.0)
        return 0.5 * (self.values**2 + np.exp(self.log_variance) - 1 - self.log_variance).mean(axis=0)

    def rows(self, chosen: NDArray[Any]) -> Codes:
        """Return the codes of the chosen clips (indexes or a mask)."""
        return Codes(self.values[chosen], None if self.log_variance is None else self.log_variance[chosen])

    def sampled(self, seed: Sequence[int]) -> Codes:
        """Return μ + σ ε with ε ~ N(0, 1) drawn for all rows at once; the same codes when no variance is known."""
        if self.log_variance is None:
            return self
        noise = np.random.default_rng(list(seed)).standard_normal(self.values.shape)
        return Codes(self.values + noise * np.exp(self.log_variance / 2), self.log_variance)


def check(factors: Factors, codes: Codes, least_factors: int = 1) -> None:
    """Refuse arguments in the wrong order, plain arrays, different numbers of rows and too few factors.

    Raises:
        InvalidValueError: with the line to write instead.
    """
    if isinstance(factors, Codes) and isinstance(codes, Factors):
        hint = "swapping them turns MIG into another metric; metrics.legacy does that on purpose"
        raise InvalidValueError(
            "factors and codes are swapped", where="metrics", allowed=RIGHT_LINE, received="(codes, factors)", hint=hint
        )
    if not isinstance(factors, Factors) or not isinstance(codes, Codes):
        received = (type(factors).__name__, type(codes).__name__)
        raise InvalidValueError("takes Factors first and Codes second", where="metrics", allowed=RIGHT_LINE, received=received)
    if len(factors.values) != len(codes.values):
        counts = (len(factors.values), len(codes.values))
        raise InvalidValueError("factors and codes of different clips", where="metrics", allowed="as many rows", received=counts)
    if factors.number < least_factors:
        raise InvalidValueError("compares factors with each other", where="metrics", allowed="two factors or more", received=factors.names)


def scaled(values: Array) -> Array:
    """Return every column brought to 0…1 by its minimum and maximum; a constant column becomes 0."""
    low, spread = values.min(axis=0), np.ptp(values, axis=0)
    return (values - low) / np.where(spread > 0, spread, 1.0)


def binned(values: Array, bins: int = BINS) -> Labels:
    """Return [N, columns] numbers of equal bins of the scaled columns, 0…bins − 1; a left edge belongs to its bin."""
    edges = np.linspace(0, 1, bins + 1)[1:-1] - ON_EDGE
    return np.searchsorted(edges, scaled(values), side="right").astype(np.int64)


def gap(rows: Array) -> Array:
    """Return best − second best of every row; the best itself where there is no second."""
    ordered = np.sort(rows, axis=1)
    return ordered[:, -1] - (ordered[:, -2] if rows.shape[1] > 1 else 0.0)


def _table(values: Any, where: str) -> Array:
    """Check and convert one table."""
    table = np.ascontiguousarray(values, dtype=np.float64)
    if table.ndim != 2 or len(table) < 2 or not table.shape[1]:
        raise InvalidValueError("not a table", where=where, allowed="[rows ≥ 2, columns ≥ 1]", received=table.shape)
    if not np.isfinite(table).all():
        bad = int((~np.isfinite(table)).any(axis=1).sum())
        raise InvalidValueError("numbers that are not finite", where=where, allowed="finite numbers", received=f"{bad} such rows")
    return table
