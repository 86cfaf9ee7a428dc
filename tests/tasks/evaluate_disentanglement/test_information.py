"""The metrics on mutual information against loops over their definitions, and against what is known of perfect and useless codes."""

from collections import Counter
from math import log2

import numpy as np
import pytest

from core.errors import InvalidValueError
from tasks.evaluate_disentanglement import metrics
from tasks.evaluate_disentanglement.metrics import Codes, Factors
from tests.tasks.evaluate_disentanglement.samples import sample

CONTINUOUS = ("continuous",)


def cut(column, bins=10):
    low, high = min(column), max(column)
    return [min(int((x - low) / (high - low) * bins), bins - 1) if high > low else 0 for x in column]


def entropy(*columns):
    counts = Counter(zip(*columns, strict=True))
    total = sum(counts.values())
    return -sum(n / total * log2(n / total) for n in counts.values())


def plain(factors, codes, bins=10):
    """Entropies in loops: I, joint H by [factor][code], H of factors and codes."""
    left = [list(c) if kind == "nominal" else cut(c, bins) for kind, c in zip(factors.kinds, factors.values.T, strict=True)]
    right = [cut(c, bins) for c in codes.values.T]
    joint = [[entropy(v, z) for z in right] for v in left]
    mutual = [[entropy(v) + entropy(z) - entropy(v, z) for z in right] for v in left]
    return mutual, joint, [entropy(v) for v in left], [entropy(z) for z in right]


def gap(values):
    best, second = sorted(values)[-1], sorted(values)[-2]
    return best - second


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_six_are_their_definitions(seed):
    factors, codes = sample(seed)
    mutual, joint, known, own = plain(factors, codes)
    many, dims = range(len(mutual)), range(len(own))
    mig = sum(gap(row) / h for row, h in zip(mutual, known, strict=True)) / len(mutual)
    by_code = sum(gap([i / h if h else 0 for i, h in zip(row, own, strict=True)]) for row in mutual) / len(mutual)
    sup = sum(gap([mutual[k][j] / known[k] for k in many]) for j in dims) / len(own)
    jemmig = 0
    for k in many:
        best = max(dims, key=lambda j: mutual[k][j])
        jemmig += 1 - (joint[k][best] - gap(mutual[k])) / (known[k] + log2(10))
    kept = [[0.0 for _ in dims] for _ in many]
    modularity = 0
    for j in dims:
        column = [mutual[k][j] for k in many]
        top = column.index(max(column))
        kept[top][j] = gap(column)
        if max(column) > 1e-12:
            modularity += 1 - sum(column[k] ** 2 for k in many if k != top) / (column[top] ** 2 * (len(mutual) - 1))
    dcimig = sum(max(row) for row in kept) / sum(known)
    found = metrics.evaluate(factors, codes, ("mig", "mig_code_entropy", "mig_sup", "jemmig", "dcimig", "modularity"))
    expected = [mig, by_code, sup, jemmig / len(mutual), dcimig, modularity / len(own)]
    assert list(found.values()) == pytest.approx(expected, abs=1e-6)
    assert metrics.information(factors, codes).mutual == pytest.approx(np.array(mutual), abs=1e-9)


def test_the_two_normalisers_of_mig_differ_when_a_code_says_more_than_a_factor():
    rng = np.random.default_rng(0)
    bit = rng.integers(2, size=4000)
    other = rng.integers(2, size=4000)
    factors = Factors(np.stack([bit, other], 1), ("nominal", "nominal"))
    codes = Codes(np.stack([bit + 0.499 * rng.random(4000), other + 0.499 * rng.random(4000)], 1))  # 1 bit known of log2(10)-ish
    assert metrics.mig(factors, codes) > 0.99
    assert metrics.mig_code_entropy(factors, codes) == pytest.approx(1 / metrics.information(factors, codes).codes.mean(), abs=0.01)
    assert metrics.mig_code_entropy(factors, codes) < 0.5


def test_class_numbers_are_names():
    """Renumbering the classes of a nominal factor changes nothing; of a continuous one it does."""
    factors, codes = sample()
    shuffled = factors.values.copy()
    shuffled[:, 0] = np.array([7, 0, 40, 3])[shuffled[:, 0].astype(int)]
    names = ("mig", "jemmig", "dcimig", "modularity", "sap", "explicitness", "irs")
    renamed = metrics.evaluate(Factors(shuffled, factors.kinds), codes, names)
    assert renamed == pytest.approx(metrics.evaluate(factors, codes, names), abs=1e-9)
    numbers = metrics.evaluate(Factors(shuffled, CONTINUOUS * 3), codes, ("mig", "sap"))
    assert abs(numbers["sap"] - renamed["sap"]) > 1e-3 and numbers["mig"] != renamed["mig"]


def test_a_value_on_an_edge_belongs_to_the_bin_above_whatever_the_rounding():
    values = np.linspace(440, 8000, 11)  # 0.3 after scaling comes out as 0.29999…
    labels = Factors(np.repeat(values, 3)[:, None], CONTINUOUS).labels()
    assert np.bincount(labels[:, 0]).tolist() == [3] * 9 + [6]


def test_one_code_has_no_second_best():
    factors, codes = sample()
    single = Codes(codes.values[:, :1])
    table = metrics.information(factors, single)
    assert metrics.mig(factors, single) == pytest.approx((table.mutual[:, 0] / table.factors).mean())
    assert metrics.sap(factors, single) > 0


def test_codes_that_never_vary_score_nothing():
    factors, codes = sample()
    dead = Codes(np.zeros((len(codes.values), 4)))
    found = metrics.evaluate(factors, dead)
    assert set(found) == set(metrics.ALL)
    entropies = metrics.information(factors, dead).factors
    assert found.pop("jemmig") == pytest.approx(np.mean(log2(10) / (entropies + log2(10))))  # its blind spot
    # 12 MSE takes factors for uniform; "level" is not, so guessing its mean counts for something.
    level = (factors.values[:, 2] - factors.values[:, 2].min()) / np.ptp(factors.values[:, 2])
    for model in ("lasso", "forest"):
        assert found.pop(f"dci_{model}_informativeness") == pytest.approx((1 - 12 * level.var()) / 3, abs=0.03)
    assert found.pop("z_diff") == pytest.approx(0, abs=0.03)  # chance
    assert set(found.values()) == {0}


def test_swapped_arguments_are_refused_with_the_line_to_write():
    factors, codes = sample()
    for metric in (metrics.mig, metrics.mig_sup, metrics.jemmig, metrics.dcimig, metrics.modularity, metrics.sap, metrics.dci_lasso,
                   metrics.dci_forest, metrics.explicitness, metrics.z_diff, metrics.z_min_var, metrics.z_max_var, metrics.irs,
                   metrics.mig_code_entropy, metrics.evaluate, metrics.legacy.scores):  # fmt: skip
        with pytest.raises(InvalidValueError, match="factors and codes are swapped"):
            metric(codes, factors)
        with pytest.raises(InvalidValueError, match=r"metrics.Factors\(v, kinds="):
            metric(factors.values, codes.values)
        with pytest.raises(InvalidValueError, match="different clips"):
            metric(factors, Codes(codes.values[:-1]))


def test_wrong_tables_are_refused():
    factors, codes = sample()
    for values, kinds, match in (
        (codes.values, ("nominal",) * 5, "are these codes"),
        (factors.values, ("nominal",), "one for each column"),
        (factors.values, ("nominal", "ordinal", "continuous"), "no such kind"),
        (np.hstack([factors.values[:, :1], codes.values[:, 4:]]), ("nominal", "continuous"), "never varies"),
        (np.array([[1.0], [np.nan]]), CONTINUOUS, "not finite"),
        (factors.values[:, 0], CONTINUOUS, "not a table"),
    ):
        with pytest.raises(InvalidValueError, match=match):
            Factors(values, kinds)
    with pytest.raises(InvalidValueError, match="another shape"):
        Codes(codes.values, np.zeros((3, 5)))
    with pytest.raises(InvalidValueError, match="two factors"):
        metrics.modularity(Factors(factors.values[:, :1], ("nominal",)), codes)
    with pytest.raises(InvalidValueError, match="did you mean 'modularity'"):
        metrics.evaluate(factors, codes, ["modularty"])
