import csv
import json

import numpy as np
import pytest

from core.errors import InvalidValueError
from tasks.evaluate_spatial import cache, probes, stage
from tasks.evaluate_spatial.metrics import unit
from tasks.evaluate_spatial.spec import Request, Settings
from tasks.spatial import words
from tasks.spatial.words import Descriptors, Wording
from tests.tasks.train_spatial.scenery import CLIPS, ROOMS, context_for, scenery, train


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    found = scenery(tmp_path_factory.mktemp("scenery"))
    train(found, "model", steps=2)
    return found


def evaluate(root, name, **settings):
    context = context_for(root, name, "evaluate_spatial")
    request = Request("stages/train_spatial/model", CLIPS, ROOMS, settings=Settings(**settings))
    return stage.run(request, context), context.output


def test_a_grid_of_the_test_split_is_scored_and_written(root):
    result, output = evaluate(root, "plain")
    scores = json.loads((output / "scores.json").read_text())
    assert (result.items, result.sources, result.spaces, result.unreadable) == (9, 3, 3, 0)
    assert set(scores["retrieval"]) == {"SRC", "SPA", "X-SRC", "X-SPA", "Both"} and set(scores["intra_modal"]) == {"audio", "text"}
    assert result.spa_r1 == pytest.approx(np.mean([side["R@1"] for side in scores["retrieval"]["SPA"].values()]))
    assert 0 <= result.direction_median_deg <= 180 and result.distance_mae_m > 0 and scores["ceiling@1"]["SRC"] == 1.0
    assert set(scores["iidr"]) == {"audio_source", "audio_spatial", "text_source", "text_spatial"}
    assert set(scores["zero_shot"]) == {"prompts", "prototypes"} and scores["zero_shot"]["prompts"]["size"]["items"] == 9
    rows = list(csv.DictReader((output / "grid.csv").read_text().splitlines()))
    assert len({row["item_id"] for row in rows}) == 9 and [row["source_id"] for row in rows[:3]] == [rows[0]["source_id"]] * 3
    embeddings, labels = cache.read(output / "embeddings.npz")
    assert list(labels["source"]) == [row["source_id"] for row in rows] and list(labels["spatial"]) == [row["spatial_id"] for row in rows]
    with np.load(output / "embeddings.npz", allow_pickle=False) as archive:
        assert list(archive["caption"]) == [row["text"] for row in rows]
    again = context_for(root, "cached", "evaluate_spatial")
    found = stage.run(Request(embeddings=str(output / "embeddings.npz")), again)
    assert (found.src_r1, found.both_r1, found.spaces, found.direction_median_deg) == (result.src_r1, result.both_r1, 3, None)
    assert json.loads((again.output / "scores.json").read_text())["retrieval"] == scores["retrieval"]
    assert np.allclose(np.linalg.norm(embeddings["text_source"], axis=1), 1)


def test_embeddings_hang_on_their_own_clip_and_room_alone(root):
    _, output = evaluate(root, "again", probes=False)
    ids = json.loads((output / "scores.json").read_text())["items"], cache.read(output / "embeddings.npz")
    one, other = ids[1][1]["source"][3], ids[1][1]["spatial"][1]
    _, alone = evaluate(root, "two", clip_ids=(str(one), str(ids[1][1]["source"][0])), spatial_ids=(str(other),), probes=False)
    found, labels = cache.read(alone / "embeddings.npz")
    place = int(np.flatnonzero((ids[1][1]["source"] == one) & (ids[1][1]["spatial"] == other))[0])
    assert list(labels["source"]) == [one, ids[1][1]["source"][0]] and "zero_shot" not in json.loads((alone / "scores.json").read_text())
    for name, values in found.items():
        assert np.allclose(values[0], ids[1][0][name][place], atol=1e-5), name
    with pytest.raises(InvalidValueError, match="not in this split"):
        evaluate(root, "wrong", clip_ids=("nobody",))


def arrays(**changes):
    rng = np.random.default_rng(0)
    found = {name: rng.standard_normal((4, 3)) for name in ("audio_source", "audio_spatial", "text_source", "text_spatial")}
    return {**found, "source_id": np.array([1, 1, 2, 2]), "spatial_id": np.array(["a", "b", "a", "b"]), **changes}


def test_caches_by_other_names_are_read_and_broken_ones_refused(tmp_path):
    path, given = tmp_path / "cache.npz", arrays()
    renamed = {"audio_spatial": "audio_space", "spatial_id": "space_id", "source_id": "audiocap_id"}
    np.savez(path, **{renamed.get(name, name): values for name, values in given.items()})
    embeddings, labels = cache.read(path)
    assert np.allclose(embeddings["audio_spatial"], unit(given["audio_spatial"])) and list(labels["spatial"]) == ["a", "b", "a", "b"]
    for broken, match in (
        (arrays(text_source=np.zeros((4, 3))), "without a direction"), (arrays(audio_source=np.ones((3, 3))), "do not fit each other"),
        (arrays(audio_source=np.full((4, 3), np.nan)), "without a direction"), (arrays(source_id=np.array([{}] * 4)), "no plain"),
        ({"audio_source": np.ones((2, 2))}, "arrays are missing"),
    ):  # fmt: skip
        np.savez(path, **broken)
        with pytest.raises(InvalidValueError, match=match):
            cache.read(path)
    path.write_bytes(b"nothing")
    with pytest.raises(InvalidValueError, match="no plain"):
        cache.read(path)


AXES = {word: place for place, word in enumerate(word for options in words.SYNONYMS.values() for word in options)}


def ideal(described):
    """An embedding with one axis per word."""
    rows = np.zeros((len(described), len(AXES)))
    for row, one in zip(rows, described, strict=True):
        for word in (one.distance, one.direction, one.elevation, one.size, one.reverb):
            if word:
                row[AXES[word]] = 1.0
    return unit(rows)


def read(captions):
    """A reader that knows every synonym."""
    found = np.zeros((len(captions), len(AXES)))
    for row, caption in zip(found, captions, strict=True):
        for options in words.SYNONYMS.values():
            for word, synonyms in options.items():
                if any(f" {synonym} " in f" {caption.replace(',', ' ').replace('.', ' ')} " for synonym in synonyms):
                    row[AXES[word]] = 1.0
    return found + 1e-9


def test_an_ideal_model_says_every_word_and_swaps_every_direction():
    described = words.full_tuples()
    audio = ideal(described)
    anchors = probes.prototypes(read, ["a dog", "rain"], Wording(), 0)
    assert set(anchors) == set(AXES) == set(probes.PROMPTS) and all(np.argmax(anchor) == AXES[word] for word, anchor in anchors.items())
    for made in (anchors, probes.prompts(read)):
        found = probes.zero_shot(audio, described, made)
        assert all(found[name]["accuracy"] == found[name]["balanced_accuracy"] == 1.0 for name in words.ATTRIBUTES)
        assert found["direction"] == {**found["direction"], "chance": 0.25, "items": 96} and found["direction"]["by_word"]["left"] == 1.0
    found = probes.swap(audio, audio, described, anchors)
    assert found["right_at_first"] == 1.0 and found["swapped"] == 1.0 and found["removed"] < 0.01 and min(found["kept"].values()) > 0.95
    assert found["R@10"] == {"before": 1.0, "after": 1.0, "items": 96}


def test_blind_embeddings_score_chance_and_items_without_a_word_do_not_count():
    described = [*words.full_tuples(), Descriptors(size="small")]
    audio = np.ones((97, len(AXES))) / np.sqrt(len(AXES))
    found = probes.zero_shot(audio, described, probes.prompts(read))
    assert found["direction"]["items"] == 96 and found["direction"]["accuracy"] == 0.25 and found["size"]["items"] == 97


def test_numbers_that_json_has_not_become_text():
    assert stage.finite({"a": float("nan"), "b": {"c": float("inf"), "d": 1.5}, "e": 3}) == {
        "a": None,
        "b": {"c": "infinite", "d": 1.5},
        "e": 3,
    }


@pytest.mark.parametrize("values", [{}, {"model": "a"}, {"model": "a", "clips": "b", "catalogue": "c", "embeddings": "d"}])
def test_it_must_be_clear_what_is_scored(values):
    if len(values) == 4:
        assert Request(**{name: value for name, value in values.items() if name != "embeddings"}).clips == "b"
        values = {"model": "a", "embeddings": "d"}
    with pytest.raises(InvalidValueError, match="not clear what to score"):
        Request(**values)
