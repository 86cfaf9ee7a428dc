"""Each loss against its formula, written out with loops in float64, and its gradient against differences."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from core.errors import InvalidValueError
from tasks.contrastive import losses


def views(pairs=5, dimensions=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((pairs, dimensions)), rng.standard_normal((pairs, dimensions))


def unit(array):
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def tensors(*arrays):
    return tuple(torch.from_numpy(array).requires_grad_() for array in arrays)


def ours(loss, *arrays, **options):
    return float(loss(*tensors(*arrays), **options).detach())


@pytest.mark.parametrize(("alpha", "t"), [(2.0, 2.0), (1.0, 3.0), (3.0, 0.5)])
def test_alignment_and_uniformity(alpha, t):
    first, second = views()
    one, other = unit(first), unit(second)
    close = np.mean([np.linalg.norm(a - b) ** alpha for a, b in zip(one, other, strict=True)])
    even = [
        math.log(np.mean([math.exp(-t * np.sum((view[i] - view[j]) ** 2)) for i in range(5) for j in range(i)])) for view in (one, other)
    ]
    found = losses.align_and_uniform(*tensors(first, second), alpha, t)
    assert float(found[0].detach()) == pytest.approx(close, rel=1e-12) and float(found[1].detach()) == pytest.approx(
        np.mean(even), rel=1e-12
    )
    assert torch.equal(found[0], losses.align_and_uniform(*tensors(7 * first, 0.1 * second), alpha, t)[0]) or alpha != 2


def test_uniformity_is_that_of_torchs_pdist_and_knows_its_ends():
    vectors = torch.nn.functional.normalize(torch.randn(64, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    assert float(losses.uniform(vectors)) == pytest.approx(float(torch.pdist(vectors).square().mul(-2).exp().mean().log()), rel=1e-12)
    assert float(losses.uniform(torch.ones(4, 2) / math.sqrt(2))) == pytest.approx(0.0, abs=1e-6), "all one"
    assert float(losses.uniform(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))) == pytest.approx(-8.0), "as far apart as can be: -4t"
    assert losses.relative_spread(torch.ones(5, 3)) == pytest.approx(0.0, abs=1e-6) and losses.relative_spread(vectors) > 0.9


def test_small_batches_and_equal_views_have_finite_gradients():
    with pytest.raises(InvalidValueError, match="two or more"):
        losses.uniform(torch.ones(1, 3))
    for alpha in (2.0, 1.0):
        same = torch.ones(2, 3, requires_grad=True)
        sum(losses.align_and_uniform(same, same.clone(), alpha)).backward()
        assert same.grad.isfinite().all()
    still = torch.zeros(2, 3, requires_grad=True)
    sum(losses.align_and_uniform(still, still + 0.0)).backward()
    assert still.grad.isfinite().all()


def test_nt_xent():
    first, second = views()
    every = unit(np.concatenate([first, second]))
    total = 0.0
    for i in range(10):
        scores = {j: math.exp(every[i] @ every[j] / 0.2) for j in range(10) if j != i}
        total -= math.log(scores[(i + 5) % 10] / sum(scores.values()))
    assert ours(losses.nt_xent, first, second, temperature=0.2) == pytest.approx(total / 10, rel=1e-10)


def test_nt_xent_of_groups_is_the_mean_over_all_partners_and_plain_nt_xent_where_every_pair_is_alone():
    first, second = views(4)
    vectors, group = unit(np.concatenate([first, second])), [0, 1, 0, 2, 0, 1, 0, 2]
    terms = []
    for i in range(8):
        others = [j for j in range(8) if j != i]
        total = sum(math.exp(vectors[i] @ vectors[j] / 0.3) for j in others)
        partners = [j for j in others if group[j] == group[i]]
        terms.append(-np.mean([math.log(math.exp(vectors[i] @ vectors[j] / 0.3) / total) for j in partners]))
    found = ours(losses.nt_xent, first, second, temperature=0.3, groups=torch.tensor([0, 1, 0, 2]))
    assert found == pytest.approx(np.mean(terms), rel=1e-12)
    alone = ours(losses.nt_xent, first, second, temperature=0.3, groups=torch.arange(4))
    assert alone == pytest.approx(ours(losses.nt_xent, first, second, temperature=0.3), rel=1e-12)


def test_vicreg():
    first, second = views(6, 4)
    apart = np.mean((first - second) ** 2)
    hinge = np.mean([np.mean([max(0.0, 1 - math.sqrt(np.var(view[:, d], ddof=1) + 1e-4)) for d in range(4)]) for view in (first, second)])
    tied = sum(np.cov(view.T)[i, j] ** 2 / 4 for view in (first, second) for i in range(4) for j in range(4) if i != j)
    assert ours(losses.vicreg, first, second, invariance=3.0, variance=5.0, covariance=7.0) == pytest.approx(
        3 * apart + 5 * hinge + 7 * tied, rel=1e-10
    )


def test_barlow_twins():
    first, second = views(40, 3)
    matrix = np.corrcoef(first.T, second.T)[:3, 3:]
    expected = sum((1 - matrix[i, j]) ** 2 if i == j else 0.01 * matrix[i, j] ** 2 for i in range(3) for j in range(3))
    assert ours(losses.barlow, first, second, off_diagonal=0.01) == pytest.approx(expected, rel=1e-4), "but for the ε of the variance"


@pytest.mark.parametrize("name", losses.LOSSES)
def test_gradients_are_those_of_differences(name):
    loss = (lambda x, y: sum(losses.align_and_uniform(x, y))) if name == "align_uniform" else getattr(losses, name)
    assert gradcheck(loss, tensors(*views(4, 3, seed=2)), atol=1e-6, rtol=1e-4)
