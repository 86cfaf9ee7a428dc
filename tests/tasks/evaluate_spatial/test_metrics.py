import itertools
import math

import numpy as np
import pytest

from tasks.evaluate_spatial.metrics import ceiling, chance, iidr, physical_errors, retrieval, unit
from tasks.evaluate_spatial.tables import cross_modal, intra_modal, joint


def ranks(queries, gallery, query_labels, gallery_labels, itself):
    """Rank of each query's first positive, by sorting."""
    found, scores = [], unit(queries) @ unit(gallery).T
    for i in range(len(queries)):
        order = sorted((j for j in range(len(gallery)) if not (itself and i == j)), key=lambda j: -scores[i, j])
        hits = [place + 1 for place, j in enumerate(order) if gallery_labels[j] == query_labels[i]]
        if hits:
            found.append(hits[0])
    return np.array(found)


@pytest.mark.parametrize("itself", [False, True])
def test_retrieval_against_sorting(itself):
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((300, 5))
    gallery = queries if itself else rng.standard_normal((300, 5))
    labels = rng.integers(0, 40, 300)
    expected = ranks(queries, gallery, labels, labels, itself)
    found = retrieval(queries, gallery, labels, labels, itself)
    assert [found[f"R@{k}"] for k in (1, 5, 10)] == pytest.approx([np.mean(expected <= k) for k in (1, 5, 10)])
    assert found["MedR"] == np.sort(expected)[(len(expected) - 1) // 2] and found["MnR"] == pytest.approx(expected.mean())
    assert found["queries"] == len(expected) and found["excess@5"] == pytest.approx(found["R@5"] - found["chance@5"])


def test_the_median_is_the_lower_one():
    gallery = np.eye(4)
    queries = np.array([[4.0, 3, 2, 1], [4, 3, 2, 1], [4, 3, 2, 1], [4, 3, 2, 1]])
    assert retrieval(queries, gallery, np.array([0, 1, 2, 3]), np.arange(4))["MedR"] == 2.0


def test_collapsed_embeddings_score_chance_and_not_success():
    labels = np.repeat(np.arange(4), 3)
    found = retrieval(np.ones((12, 3)), np.ones((12, 3)), labels, labels)
    assert [found[f"R@{k}"] for k in (1, 5, 10)] == pytest.approx([found[f"chance@{k}"] for k in (1, 5, 10)])
    assert found["MnR"] == pytest.approx(13 / 4), "first of 3 among 12 in a random order"
    assert retrieval(np.ones((12, 3)), np.ones((12, 3)), labels, labels, ties="optimistic")["R@1"] == 1.0


def test_ties_are_what_all_orders_give():
    scores = np.array([3.0, 2.0, 2.0, 2.0, 1.0])
    gallery = np.stack([scores, np.sqrt(25 - scores**2)], 1)
    labels = np.array([0, 1, 0, 0, 1])
    found = retrieval(np.array([[1.0, 0.0]]), gallery, np.array([1]), labels, ks=(1, 2, 3, 4))
    orders = [[0, *order, 4] for order in itertools.permutations((1, 2, 3))]
    for k in (1, 2, 3, 4):
        assert found[f"R@{k}"] == pytest.approx(np.mean([any(labels[j] == 1 for j in order[:k]) for order in orders]))
    firsts = [next(place + 1 for place, j in enumerate(order) if labels[j] == 1) for order in orders]
    assert found["MnR"] == pytest.approx(np.mean(firsts))


def test_chance_is_that_of_the_published_grid():
    levels = [float(chance(np.array([96.0]), 9216, k)[0]) for k in (1, 5, 10)]
    assert [round(100 * level, 2) for level in levels] == [1.04, 5.1, 9.95]
    assert float(chance(np.array([1.0]), 9216, 10)[0]) == pytest.approx(10 / 9216)
    assert float(chance(np.array([3.0]), 8, 4)[0]) == pytest.approx(1 - math.comb(5, 4) / math.comb(8, 4))
    assert float(chance(np.array([5.0]), 8, 4)[0]) == 1.0


def test_queries_without_a_positive_do_not_count():
    found = retrieval(np.eye(3), np.eye(3), np.array([0, 1, 9]), np.array([0, 1, 2]))
    assert found["queries"] == 2 and found["R@1"] == 1.0
    assert retrieval(np.eye(2), np.eye(2), np.array([7, 8]), np.array([0, 1])) == {"queries": 0.0}


def test_ceiling_is_one_over_the_items_that_words_do_not_tell_apart():
    labels, words = np.array(["a", "b", "c", "c"]), np.array(["dog", "dog", "rain", "rain"])
    assert ceiling(labels, words) == pytest.approx((0.5 + 0.5 + 1 + 1) / 4)


def test_iidr_against_all_pairs():
    rng = np.random.default_rng(1)
    vectors, sources, spaces = rng.standard_normal((60, 4)), rng.integers(0, 5, 60), rng.integers(0, 6, 60)
    rows, sums = unit(vectors), {"source": [], "space": []}
    for i, j in itertools.combinations(range(60), 2):
        distance = 1 - rows[i] @ rows[j]
        if sources[i] == sources[j] and spaces[i] != spaces[j]:
            sums["source"].append(distance)
        if sources[i] != sources[j] and spaces[i] == spaces[j]:
            sums["space"].append(distance)
    found = iidr(vectors, sources, spaces)
    assert found["source"] == pytest.approx(np.mean(sums["space"]) / np.mean(sums["source"]))
    assert found["spatial"] == pytest.approx(1 / found["source"])
    assert (found["pairs_same_source"], found["pairs_same_space"]) == (len(sums["source"]), len(sums["space"]))
    assert found["distance_same_source"] == pytest.approx(np.mean(sums["source"]))


def test_iidr_of_perfect_constant_and_single_embeddings():
    sources, spaces = np.repeat(np.arange(3), 4), np.tile(np.arange(4), 3)
    perfect = iidr(np.eye(3)[sources], sources, spaces)
    assert perfect["source"] == math.inf and perfect["spatial"] == 0.0
    assert iidr(np.eye(4)[spaces], sources, spaces)["spatial"] == math.inf
    constant = iidr(np.ones((12, 5)), sources, spaces)
    assert math.isnan(constant["source"]) and math.isnan(constant["spatial"])
    lonely = iidr(np.random.default_rng(0).standard_normal((3, 2)), np.arange(3), np.arange(3))
    assert math.isnan(lonely["source"]) and lonely["pairs_same_source"] == 0


def test_physical_errors_in_units_and_beside_a_guess():
    forward, left = np.array([[1.0, 0, 0]]), np.array([[0, 1.0, 0]])
    found = physical_errors(
        np.concatenate([forward, forward]), np.concatenate([forward, left]), np.array([[10.0, 1.0, 500.0], [20.0, 2.0, 700.0]]),
        np.array([[12.0, 1.0, np.nan], [18.0, 3.0, 600.0]]), (15.0, 2.0, 600.0),
    )  # fmt: skip
    assert found["direction_deg"]["mean"] == pytest.approx(45) and found["area_m2"] == {
        "mean_absolute": 2.0,
        "of_the_mean": 3.0,
        "items": 2,
    }
    assert found["distance_m"]["mean_absolute"] == 0.5 and found["t30_ms"] == {"mean_absolute": 100.0, "of_the_mean": 0.0, "items": 1}


def grid(leak=0.0):
    """Embeddings that know exactly what and where, and a share of the other factor."""
    sources, spaces = np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)
    what, where = np.eye(6)[sources], np.eye(5)[spaces]
    both = {"source": np.concatenate([what, leak * where], 1), "spatial": np.concatenate([leak * what, where], 1)}
    embeddings = {f"{side}_{name}": unit(both[name]) for side in ("audio", "text") for name in both}
    return embeddings, {"source": sources, "spatial": spaces}


def test_tasks_of_perfectly_separate_embeddings():
    embeddings, labels = grid()
    found = cross_modal(embeddings, labels, "expected")
    for side in ("text_to_audio", "audio_to_text"):
        assert found["SRC"][side]["R@1"] == found["SPA"][side]["R@1"] == found["Both"][side]["R@1"] == 1.0
        assert found["X-SRC"][side]["lift@1"] == pytest.approx(1.0) and found["X-SPA"][side]["lift@1"] == pytest.approx(1.0)
    assert found["Both"]["text_to_audio"]["chance@1"] == pytest.approx(1 / 30)
    leaking = cross_modal(*grid(0.2), "expected")
    assert leaking["X-SRC"]["text_to_audio"]["R@1"] == 1.0 and leaking["SRC"]["text_to_audio"]["R@1"] == 1.0
    within = intra_modal(embeddings, labels, "expected")
    assert within["audio"]["SRC"]["R@1"] == 1.0 and within["text"]["X-SPA"]["R@1"] == 0.0, (
        "its own space is only at itself or other sources"
    )
    assert len(np.unique(joint(labels))) == 30
