import math

import numpy as np
import pytest
import torch
from scipy import stats

from core.errors import InvalidValueError
from tasks.synthesiser import build, draws
from tasks.synthesiser.pairs import LEAST, Pairs, stream

VOICE = build("voice", duration_s=0.1)
SEEDS = range(2000)


def clipped_share(delta):
    """Return the exact chance that u + delta·e leaves 0 … 1, u even and e normal."""
    u = np.linspace(0, 1, 100_001)
    return np.mean(stats.norm.cdf(-u / delta) + stats.norm.sf((1 - u) / delta))


@pytest.mark.parametrize("delta", [0.01, 0.05, 0.1, 0.25, 0.5])
def test_both_views_are_a_normal_step_away_and_saturation_is_counted(delta):
    u, u1, u2, saturation = Pairs(VOICE, delta).parameters(SEEDS)
    assert saturation == pytest.approx(clipped_share(delta), abs=0.005)
    for view in (u1, u2):
        inside = (u > 4 * delta) & (u < 1 - 4 * delta)
        steps = ((view - u) / delta)[inside]
        assert view.min() >= np.float32(LEAST) and view.max() <= 1
        if delta <= 0.1:
            assert stats.kstest(steps.numpy()[:20000], "norm").pvalue > 1e-4
    inside = (u > 4 * delta) & (u < 1 - 4 * delta)
    if delta <= 0.1:
        assert abs(np.corrcoef((u1 - u)[inside].numpy(), (u2 - u)[inside].numpy())[0, 1]) < 0.02, "two draws, not one"
    if delta == 0.25:
        assert saturation == pytest.approx(0.2, abs=0.012), "20.6 % were measured of the published code"


def test_deltas_by_group_and_name_frozen_ones_and_one_side():
    names = [one.name for one in VOICE.parameters]
    groups = np.array([one.group for one in VOICE.parameters])
    pairs = Pairs(VOICE, 0.1, group_deltas={"envelope": 0.01, "adsr_1.alpha": 0.3}, frozen=("pitch", "keyboard.duration"))
    u, u1, u2, _ = pairs.parameters(SEEDS)
    still = torch.from_numpy(groups == "pitch") | torch.tensor([name == "keyboard.duration" for name in names])
    assert still.sum() == 4 and torch.equal(u1[:, still], u[:, still]) and torch.equal(u2[:, still], u[:, still])
    middle = torch.where((u > 0.4) & (u < 0.6), u2 - u, math.nan)
    spread = {name: float(column[~column.isnan()].std()) for name, column in zip(names, middle.T, strict=True)}
    assert spread["adsr_2.attack"] == pytest.approx(0.01, rel=0.15) and spread["lfo_1.frequency"] == pytest.approx(0.1, rel=0.15)
    assert 0.15 < spread["adsr_1.alpha"] < 0.35
    u, u1, u2, saturation = Pairs(VOICE, 0.25, one_sided=True).parameters(SEEDS)
    assert torch.equal(u1, u) and not torch.equal(u2, u) and saturation == pytest.approx(clipped_share(0.25), abs=0.005)
    assert Pairs(VOICE, 0.25, frozen=list(set(groups))).parameters([1])[3] == 0


def test_a_pair_hangs_on_its_seed_alone_and_comes_with_its_parameters():
    pairs = Pairs(VOICE, 0.1, sampling="human_uniform")
    seeds = stream(0, 0, 0, 12)
    batch = pairs.batch(seeds)
    assert batch.first.shape == batch.second.shape == (12, 1600) and batch.u.shape == (12, 78)
    alone = pairs.batch(seeds[7:8])
    for name in ("first", "second", "u", "u1", "u2"):
        assert torch.equal(getattr(alone, name)[0], getattr(batch, name)[7]), name
    seeds_of_first = draws.derived(draws.as_tensor(seeds), draws.FIRST)
    assert torch.equal(VOICE.render(batch.u1, seeds_of_first), batch.first)
    same = Pairs(VOICE, 0.0).batch(seeds)
    apart = (same.first - same.second).abs().amax(1)
    assert torch.equal(same.u1, same.u2) and same.saturation == 0 and apart.median() < 1e-6 < apart.max(), "noises of their own"


def test_stream_gives_every_rank_step_and_part_other_seeds_and_the_same_again():
    found = [
        seed for rank in range(4) for step in range(50) for part in ("train", "val") for seed in stream(3, rank, step, 64, part)
    ]  # fmt: skip
    assert len(set(found)) == len(found) == 4 * 50 * 2 * 64 and min(found) >= 0 and max(found) < 2**62
    assert stream(3, 1, 17, 64) == stream(3, 1, 17, 64) and stream(3, 1, 17, 64)[:8] == stream(3, 1, 17, 8)
    assert not set(stream(4, 0, 0, 64)) & set(found)
    bits = np.array([[(seed >> bit) & 1 for bit in range(62)] for seed in found[:6400]])
    assert np.abs(bits.mean(0) - 0.5).max() < 0.04
    top = stream(2**64 - 1, 4095, 2**28 - 1, 4, "test")
    assert len(set(top)) == 4


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Pairs(VOICE, frozen=["pich"]), "pitch"), (lambda: Pairs(VOICE, group_deltas={"lfo_1": 0.1}), "lfo"),
        (lambda: Pairs(VOICE, -0.1), "delta"), (lambda: Pairs(VOICE, group_deltas={"lfo": math.nan}), "lfo"),
        (lambda: Pairs(VOICE, sampling="log"), "sampling"), (lambda: stream(0, 4096, 0, 1), "rank"), (lambda: stream(0, 0, -1, 1), "step"),
        (lambda: stream(0, 0, 0, 0), "batch"), (lambda: stream(0, 0, 0, 1, "valid"), "part"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(call, said):
    with pytest.raises(InvalidValueError, match=said):
        call()
