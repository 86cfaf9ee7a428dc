import itertools

import numpy as np
import pytest
import torch

from core.errors import InvalidValueError
from tasks.preset_encoders import protocols, ranking
from tasks.preset_encoders.inference import nearest
from tasks.preset_encoders.protocols import mean_and_sd, rank_one_vs_all, rank_validation, rankings, subset
from tasks.preset_encoders.ranking import Places, chance, distances, places


def by_hand(row, right):
    """Mean over all orders of the candidates that a stable sort by distance may begin with: rank, reciprocal rank and hits."""
    found = []
    for order in itertools.permutations(range(len(row))):
        ranked = sorted(order, key=lambda k: row[k])
        found.append(ranked.index(right) + 1)
    ranks = np.array(found, float)
    told = {"mrr": (1 / ranks).mean(), "rank": ranks.mean()}
    told |= {f"mrr@{k}": np.where(ranks <= k, 1 / ranks, 0).mean() for k in range(1, 6)}
    return {**told, **{f"recall@{k}": (ranks <= k).mean() for k in (1, 5, 10)}}


@pytest.mark.parametrize("row", [[3, 1, 2, 5, 4, 6], [1, 1, 1, 1, 1, 1], [2, 1, 2, 2, 0, 3], [0, 0, 1, 1, 2, 2], [5, 4, 3, 2, 1, 1]])
def test_scores_with_ties_are_means_over_all_orders_of_the_tied(row):
    for right in range(6):
        found = places(torch.tensor([row], dtype=torch.float32), torch.tensor([right]))
        wanted, scores = by_hand(row, right), found.scores()
        assert float(found.mean_rank) == pytest.approx(wanted["rank"])
        assert scores["mean_normalised_rank"] == pytest.approx(wanted["rank"] / 6)
        assert {name: scores[name] for name in wanted if name != "rank"} == pytest.approx({k: v for k, v in wanted.items() if k != "rank"})


def test_scores_without_ties_equal_a_sort():
    rng = np.random.default_rng(0)
    matrix, right = rng.random((40, 25)), rng.integers(0, 25, 40)
    ranks = np.array([np.argsort(row).tolist().index(k) + 1 for row, k in zip(matrix, right, strict=True)])
    scores = places(torch.from_numpy(matrix), torch.from_numpy(right)).scores()
    assert scores["mrr"] == pytest.approx((1 / ranks).mean()) and scores["mrr@3"] == pytest.approx(((ranks <= 3) / ranks).mean())
    assert scores["recall@10"] == pytest.approx((ranks <= 10).mean())
    assert scores["median_normalised_rank"] == pytest.approx(np.median(ranks / 25))
    assert scores["mean_normalised_rank"] == pytest.approx((ranks / 25).mean())


def test_chance_is_the_mean_over_random_orders_and_what_one_embedding_for_all_scores():
    expected = chance(512)
    assert expected["mrr"] == pytest.approx(sum(1 / k for k in range(1, 513)) / 512) and expected["recall@10"] == pytest.approx(10 / 512)
    assert expected["mean_normalised_rank"] == pytest.approx(513 / 1024)
    random = torch.rand(20_000, 16, generator=torch.Generator().manual_seed(0))
    found = places(random, torch.zeros(20_000, dtype=torch.long)).scores()
    assert found["mrr"] == pytest.approx(chance(16)["mrr"], abs=0.006) and found["mrr@2"] == pytest.approx(chance(16)["mrr@2"], abs=0.006)
    audio = torch.randn(64, 5, generator=torch.Generator().manual_seed(1))
    both = rank_one_vs_all(torch.zeros(64, 5), audio, "l1")
    assert both.audio_query.scores() == pytest.approx(chance(64)), "collapsed: not 1"
    assert both.preset_query.scores()["mrr"] == pytest.approx(chance(64)["mrr"]), "each rank from 1 to 64 once"


@pytest.mark.parametrize("kind", ["l1", "l2", "cosine"])
def test_distances_and_both_directions_equal_loops(kind, monkeypatch):
    monkeypatch.setattr(ranking, "CHUNK", 7)
    rng = np.random.default_rng(2)
    presets, audio = rng.normal(size=(20, 4)).astype(np.float32), rng.normal(size=(20, 4)).astype(np.float32)
    audio[5], presets[9] = audio[4], presets[8]  # ties
    unit = lambda x: x / np.linalg.norm(x)  # noqa: E731
    measures = {
        "l1": lambda x, y: np.abs(x - y).sum(), "l2": lambda x, y: np.sqrt(((x - y) ** 2).sum()),
        "cosine": lambda x, y: np.linalg.norm(unit(x) - unit(y)),
    }  # fmt: skip
    wanted = np.array([[measures[kind](x, y) for y in audio] for x in presets])
    found = distances(torch.from_numpy(presets), torch.from_numpy(audio), kind)
    assert found.numpy() == pytest.approx(wanted, abs=1e-5)
    both = rank_one_vs_all(torch.from_numpy(presets), torch.from_numpy(audio), kind)
    assert int(both.preset_query.tied[4]) >= 1 and int(both.audio_query.tied[8]) >= 1
    rows = [by_sort(found[k].numpy(), k) for k in range(20)]
    columns = [by_sort(found[:, k].numpy(), k) for k in range(20)]
    assert both.preset_query.mean_rank.tolist() == rows and both.audio_query.mean_rank.tolist() == columns


def by_sort(row, right):
    return float((row < row[right]).sum() + 1 + ((row == row[right]).sum() - 1) / 2)


def test_cosine_orders_as_the_cosine_does():
    x, y = (torch.randn(6, 5, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in (0, 1))
    similar = torch.nn.functional.cosine_similarity(x[:, None], y[None], dim=2)
    assert torch.equal(distances(x, y, "cosine").argsort(1), similar.argsort(1, descending=True))


def test_published_validation_uses_row_r_of_every_batch_and_every_row_once():
    members = rankings(4 * 6 + 3, 4, 6, seed=0)
    assert members.shape == (4, 6) and sorted(members.ravel().tolist()) == list(range(24))
    batches = [list(range(k * 4, k * 4 + 4)) for k in range(6)]
    assert members.tolist() == [[batch[r] for batch in batches] for r in range(4)]


def test_drawn_rankings_have_the_right_one_first_and_no_row_twice():
    members = rankings(50, 20, 10, seed=3)
    assert members.shape == (20, 10) and all(len(set(row)) == 10 for row in members.tolist()) and len(set(members[:, 0])) == 20
    assert members.min() >= 0 and members.max() < 50
    assert (rankings(50, 20, 10, seed=3) == members).all() and (rankings(50, 20, 10, seed=4) != members).any()
    assert rankings(6, 256, 512, seed=0).shape == (6, 6)
    drawn = rankings(30, 30, 11, seed=1)
    assert len(set(drawn[:, 1:].ravel().tolist())) == 30, "every row can be a candidate"


def test_validation_mrr_equals_the_published_loop(monkeypatch):
    monkeypatch.setattr(protocols, "AT_ONCE", 3)
    generator = torch.Generator().manual_seed(5)
    audio = torch.randn(8 * 16, 4, generator=generator)
    presets = audio + 1.5 * torch.randn(8 * 16, 4, generator=generator)
    total = 0.0
    for r in range(8):
        query = audio[r]
        candidates = torch.stack([presets[batch * 8 + r] for batch in range(16)])
        order = (candidates - query).abs().sum(1).argsort().tolist()
        total += 1 / (order.index(0) + 1)
    found = rank_validation(presets, audio, rankings(128, 8, 16, 0), "l1").reciprocal().mean()
    assert float(found) == pytest.approx(total / 8) and 0.2 < total / 8 < 1


def test_embeddings_that_are_not_finite_are_refused():
    with pytest.raises(InvalidValueError, match="not finite"):
        distances(torch.tensor([[float("nan")]]), torch.zeros(1, 1), "l1")


def test_subsets_are_seeded_without_one_twice():
    one, two = subset(100, 30, 1), subset(100, 30, 2)
    assert len(set(one.tolist())) == 30 and (one != two).any() and (subset(100, 30, 1) == one).all()
    assert subset(20, 30, 1).tolist() == list(range(20))


def test_mean_and_sd_are_of_the_sample():
    found = mean_and_sd([{"x": 1.0}, {"x": 2.0}, {"x": 6.0}])
    assert found == {"x": {"mean": 3.0, "sd": pytest.approx(np.std([1, 2, 6], ddof=1))}} and mean_and_sd([{"x": 1.0}])["x"]["sd"] == 0


def test_nearest_presets_equal_a_sort_over_blocks(monkeypatch):
    import tasks.preset_encoders.inference as inference

    monkeypatch.setattr(inference, "CHUNK", 1)  # blocks of 16
    generator = torch.Generator().manual_seed(0)
    sounds, presets = torch.randn(3, 4, generator=generator), torch.randn(50, 4, generator=generator)
    presets[40] = presets[3]
    rows, far = nearest(sounds, presets, 5, "l1")
    whole = (sounds[:, None] - presets).abs().sum(2)
    assert rows.tolist() == [np.argsort(line, kind="stable")[:5].tolist() for line in whole.numpy()]
    assert torch.allclose(far, whole.gather(1, rows)) and nearest(sounds, presets[:2], 5, "l1")[0].shape == (3, 2)
    same = nearest(presets[3:4], presets, 2, "l1")[0]
    assert same.tolist() == [[3, 40]]


def test_places_of_one_query_by_hand():
    found = Places(torch.tensor([1]), torch.tensor([2]), 10)  # 2nd, 3rd or 4th
    assert float(found.reciprocal()) == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3) and float(found.recall(3)) == pytest.approx(2 / 3)
    assert float(found.reciprocal(2)) == pytest.approx(1 / 6) and float(found.mean_rank) == 3
