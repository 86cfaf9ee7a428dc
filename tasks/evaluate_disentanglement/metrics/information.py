"""Metrics on the mutual information between factors and codes, both cut into classes. Everything is in bits.

All six read one table, :class:`Information`, that is counted once. Definitions of the set: Zaidi, Boilard, Gagnon & Carbonneau,
"Measuring Disentanglement" (2020) and their Apache-2.0 code; the code here is our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.evaluate_disentanglement.metrics.representation import BINS, Array, Codes, Factors, Labels, binned, check, gap

NOTHING = 1e-12
"""Bits of mutual information that are rounding errors."""


@dataclass(frozen=True, eq=False)
class Information:
    """Plug-in entropies of K factors and D codes."""

    mutual: Array
    """[K, D] I(v_k; z_j)."""
    joint: Array
    """[K, D] H(v_k, z_j)."""
    factors: Array
    """[K] H(v_k)."""
    codes: Array
    """[D] H(z_j)."""
    bins: int
    """Bins of a code."""

    def swapped(self) -> Information:
        """Return the table with factors and codes in each other's place; what ``legacy`` scores."""
        return Information(self.mutual.T, self.joint.T, self.codes, self.factors, self.bins)


def information(factors: Factors, codes: Codes, bins: int = BINS) -> Information:
    """Count the table: nominal factors as classes, the rest in equal bins."""
    check(factors, codes)
    return of_labels(factors.labels(bins), binned(codes.values, bins), bins)


def of_labels(factors: Labels, codes: Labels, bins: int) -> Information:
    """Count the table of labels [N, K] and [N, D] that start at 0, all codes of a factor in one pass."""
    count, dims = codes.shape
    levels = int(codes.max()) + 1
    entropies, joints = [], []
    for column in factors.T:
        cells = (column[:, None] + (int(column.max()) + 1) * np.arange(dims)) * levels + codes
        table = np.bincount(cells.ravel(), minlength=(int(column.max()) + 1) * dims * levels)
        joints.append(_entropy(table.reshape(dims, -1) / count))
        entropies.append(_entropy(np.bincount(column)[None] / count)[0])
    own = np.stack([_entropy(np.bincount(column)[None] / count)[0] for column in codes.T])
    joint, known = np.stack(joints), np.stack(entropies)
    mutual = known[:, None] + own[None] - joint
    # Rounding leaves ±1e-16 where there is no information; modularity would take the ratios of that for scores.
    return Information(np.where(mutual > NOTHING, mutual, 0.0), joint, known, own, bins)


def mig(factors: Factors, codes: Codes, bins: int = BINS) -> float:
    """Mutual information gap (Chen et al., 2018): mean over factors of (best − second code's I) / H(v_k). 0…1."""
    return mig_of(information(factors, codes, bins))


def mig_code_entropy(factors: Factors, codes: Codes, bins: int = BINS) -> float:
    """MIG as the Ubisoft code divides: each I(v_k; z_j) by H(z_j) before the gap is taken. 0…1."""
    return mig_code_entropy_of(information(factors, codes, bins))


def mig_sup(factors: Factors, codes: Codes, bins: int = BINS) -> float:
    """MIG-sup (Li et al., 2020): mean over codes of the gap between its best and second factor, I / H(v_k). 0…1.

    Raises:
        InvalidValueError: there is only one factor.
    """
    check(factors, codes, least_factors=2)
    table = information(factors, codes, bins)
    return float(gap((table.mutual / table.factors[:, None]).T).mean())


def jemmig(factors: Factors, codes: Codes, bins: int = BINS) -> float:
    """Return JEMMIG (Do & Tran, 2020), normalised so that 1 is best; its floor is not 0.

    Codes without entropy are its blind spot: where all have collapsed it is log₂ bins / (H(v) + log₂ bins), above that of noise.

    Mean over factors of 1 − [H(v, z*) − I(v; z*) + I(v; z₂)] / [H(v) + log₂ bins], z* the best code and z₂ the second.
    """
    return jemmig_of(information(factors, codes, bins))


def dcimig(factors: Factors, codes: Codes, bins: int = BINS) -> float:
    """Return DCIMIG (Sepliarskaia et al., 2019): Σ of each factor's best gap over Σ H(v_k). 0…1.

    A code's gap is that between its best and second factor's I, and counts for its best factor only.

    Raises:
        InvalidValueError: there is only one factor.
    """
    check(factors, codes, least_factors=2)
    return dcimig_of(information(factors, codes, bins))


def modularity(factors: Factors, codes: Codes, bins: int = BINS) -> float:
    """Return modularity (Ridgeway & Mozer, 2018): mean over codes of 1 − Σ_{k≠k*} I² / [I_max² (K − 1)]. 0…1.

    Codes that carry nothing are not masked: noise scores about 0.6 with three factors. A code with I = 0 for every factor counts 0.

    Raises:
        InvalidValueError: there is only one factor.
    """
    check(factors, codes, least_factors=2)
    return modularity_of(information(factors, codes, bins))


def mig_of(table: Information) -> float:
    """Return :func:`mig` of a counted table."""
    return float((gap(table.mutual) / table.factors).mean())


def mig_code_entropy_of(table: Information) -> float:
    """Return :func:`mig_code_entropy` of a counted table; a code without entropy carries nothing."""
    return float(gap(table.mutual / np.where(table.codes > 0, table.codes, 1.0)).mean())


def jemmig_of(table: Information) -> float:
    """Return :func:`jemmig` of a counted table."""
    best = table.mutual.argmax(axis=1)
    entropy = np.take_along_axis(table.joint, best[:, None], axis=1)[:, 0]
    return float((1 - (entropy - gap(table.mutual)) / (table.factors + np.log2(table.bins))).mean())


def dcimig_of(table: Information) -> float:
    """Return :func:`dcimig` of a counted table."""
    kept = np.zeros_like(table.mutual)
    kept[table.mutual.argmax(axis=0), np.arange(table.mutual.shape[1])] = gap(table.mutual.T)
    return float(kept.max(axis=1).sum() / table.factors.sum())


def modularity_of(table: Information) -> float:
    """Return :func:`modularity` of a counted table."""
    squares = table.mutual**2
    best = squares.max(axis=0)
    rest = (squares.sum(axis=0) - best) / (np.where(best > 0, best, 1.0) * (len(squares) - 1))
    return float(np.where(best > 0, 1 - rest, 0.0).mean())


def _entropy(shares: Array) -> Array:
    """Return −Σ p log₂ p of every row; 0 log 0 is 0."""
    return -(shares * np.log2(np.where(shares > 0, shares, 1.0))).sum(axis=1)
