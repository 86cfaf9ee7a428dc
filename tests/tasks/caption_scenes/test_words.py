import math
import random
from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest

from core.errors import InvalidValueError
from tasks.spatial import words
from tasks.spatial.words import DISSE, Descriptors, Wording, caption, describe, descriptor_id


def place(**values):
    row = {"azimuth_deg": 45.0, "elevation_deg": 0.0, "source_distance_m": 1.5, "area_m2": 75.0, "fullband_T30_ms": 500.0}
    return {**row, "t30_nominal_ms": 500.0, **values}


def above(value):
    return math.nextafter(value, math.inf)


def below(value):
    return math.nextafter(value, -math.inf)


@pytest.mark.parametrize(("distance", "word"), [(below(1), "near"), (1.0, ""), (2.0, ""), (above(2), "far")])
def test_distance_has_no_word_from_one_to_two_metres(distance, word):
    assert describe(place(source_distance_m=distance)).distance == word


@pytest.mark.parametrize(
    ("azimuth", "word"),
    [
        (-35.0, "front"), (0.0, "front"), (35.0, "front"), (above(35), ""), (below(55), ""), (55.0, "left"), (90.0, "left"),
        (125.0, "left"), (above(125), ""), (below(145), ""), (145.0, "back"), (180.0, "back"), (-180.0, "back"), (-145.0, "back"),
        (-144.0, ""), (-125.0, "right"), (-90.0, "right"), (-55.0, "right"), (-54.0, ""), (-36.0, ""), (270.0, "right"), (450.0, "left"),
        (215.0, "back"), (325.0, "front"),
    ],
)  # fmt: skip
def test_azimuth_words_include_their_bounds_and_positive_is_left(azimuth, word):
    assert describe(place(azimuth_deg=azimuth)).direction == word
    mirrored = {"left": "right", "right": "left"}.get(word, word)
    assert describe(place(azimuth_deg=azimuth), Wording(azimuth_sign="right_positive")).direction == mirrored


@pytest.mark.parametrize(("elevation", "word"), [(40.0, ""), (above(40), "up"), (-40.0, ""), (below(-40), "down")])
def test_elevation_words_exclude_forty_degrees(elevation, word):
    assert describe(place(elevation_deg=elevation)).elevation == word


@pytest.mark.parametrize(("area", "word"), [(below(50), "small"), (50.0, "mid-sized"), (100.0, "mid-sized"), (above(100), "large")])
def test_every_floor_area_has_a_word(area, word):
    assert describe(place(area_m2=area)).size == word


@pytest.mark.parametrize(
    ("t30", "word"), [(below(200), "acoustically dampened"), (200.0, ""), (1000.0, ""), (above(1000), "highly reverberant")]
)
def test_reverberation_is_that_of_the_measured_decay_and_of_the_nominal_one_in_disse(t30, word):
    assert describe(place(fullband_T30_ms=t30)).reverb == word
    assert describe(place(fullband_T30_ms=500.0, t30_nominal_ms=t30), DISSE).reverb == word


def test_rows_of_every_kind_are_read_and_missing_numbers_refused():
    table = pd.DataFrame([place(azimuth_deg=90.0, source_distance_m=0.5)])
    wanted = Descriptors("near", "left", "", "mid-sized", "")
    assert describe(table.iloc[0]) == describe(next(table.itertuples())) == describe(table.to_dict("records")[0]) == wanted
    for broken in ({**place(), "area_m2": math.nan}, {"area_m2": 1.0}):
        with pytest.raises(InvalidValueError, match="catalogue column"):
            describe(broken)


def test_tuples_are_405_and_96_and_have_ids_that_can_be_read_back():
    everything, full = words.all_tuples(), words.full_tuples()
    assert len(set(everything)) == 405 == 3 * 5 * 3 * 3 * 3 and len(set(full)) == 96 == 4 * 2 * 2 * 3 * 2
    ids = [descriptor_id(one) for one in everything]
    assert len(set(ids)) == 405 and [words.parse_id(text) for text in ids] == everything
    assert (
        descriptor_id(Descriptors("near", "front", "", "mid-sized", "highly reverberant")) == "near_front_none_mid-sized_highly-reverberant"
    )
    for broken in ("near", "near_front_up_none_none_x", "far_left_up_huge_none", "left_far_up_small_none"):
        with pytest.raises(InvalidValueError, match="no tuple"):
            words.parse_id(broken)


def disse(text, row, rng):
    """DISSE's captions once more, by if and else: words drawn in its order, a draw only where there is a word."""
    near = row["source_distance_m"]
    distance = rng.choice(["near", "close", "nearby"]) if near < 1 else rng.choice(["far", "distant"]) if near > 2 else None
    angle, direction = row["azimuth_deg"], None
    if abs(angle) <= 35:
        direction = rng.choice(["front", "in front"])
    elif 55 <= angle <= 125:
        direction = rng.choice(["right", "to the right"])
    elif 55 <= -angle <= 125:
        direction = rng.choice(["left", "to the left"])
    elif abs(angle) >= 145:
        direction = rng.choice(["back", "behind"])
    tilt = row["elevation_deg"]
    elevation = rng.choice(["up", "above"]) if tilt > 40 else rng.choice(["down", "below"]) if tilt < -40 else None
    area = row["area_m2"]
    size = rng.choice(["small", "tiny"] if area < 50 else ["large", "spacious"] if area > 100 else ["mid-sized", "medium"])
    t30 = row["t30_nominal_ms"]
    if t30 < 200:
        size += " " + rng.choice(["acoustically dampened", "dry-sounding"])
    elif t30 > 1000:
        size += " " + rng.choice(["highly reverberant", "echoey"])
    where = " ".join(filter(None, [distance, elevation, direction]))
    which = rng.choice([0, 1, 2])
    if which == 0:
        return f"The sound: {text} is coming from the {where} of a {size} room."
    if which == 1:
        return f"You can hear {text} from the {where}, inside a {size} room."
    return f"The sound: {text} originates in the {where} of a {size} room."


def test_a_whole_grid_of_captions_is_disses_from_one_stream_of_seed_42():
    rng = np.random.default_rng(0)
    rows = [
        place(azimuth_deg=float(rng.integers(-180, 181)), elevation_deg=float(rng.uniform(-60, 60)), area_m2=float(rng.uniform(13, 277)),
              source_distance_m=float(rng.uniform(0.5, 4)), t30_nominal_ms=float(rng.uniform(140, 2600)), fullband_T30_ms=300.0)
        for _ in range(96)
    ]  # fmt: skip
    ours, theirs = random.Random(42), random.Random(42)
    sources = [f"source {number} with {{braces}}" for number in range(24)]
    made = [caption(source, row, ours, DISSE) for source in sources for row in rows]
    assert made == [disse(source, row, theirs) for source in sources for row in rows]
    assert ours.getstate() == theirs.getstate() and len(set(made)) > 2000
    assert any("from the of" in " ".join(text.split()) or "from the ," in text for text in made), "holes are reproduced"


def test_without_a_location_the_sentence_is_whole_unless_disse_is_asked_for():
    nowhere = Descriptors(size="small", reverb="highly reverberant")
    for seed in range(20):
        text = caption("a dog barks", nowhere, random.Random(seed))
        assert "  " not in text and "the ," not in text and "the of" not in text and text.endswith("room.") and "a dog barks" in text
        broken = caption("a dog barks", nowhere, random.Random(seed), DISSE)
        assert " the  of" in broken or " the ," in broken
    assert (
        caption("a dog barks", Descriptors(size="small"), random.Random(0), Wording(synonyms=False, templates=False))
        == "a dog barks in a small room."
    )


def test_plain_wording_draws_nothing_and_says_every_canonical_word():
    row = place(azimuth_deg=-90.0, elevation_deg=45.0, source_distance_m=3.0, area_m2=20.0, fullband_T30_ms=1500.0)
    rng = random.Random(7)
    before = rng.getstate()
    text = caption("rain", row, rng, Wording(synonyms=False, templates=False))
    assert text == "rain in the far up right part of a small room that is highly reverberant." and rng.getstate() == before
    assert all(word in text for word in astuple(describe(row)))


def test_a_full_stop_inside_the_sentence_goes_unless_disse_is_asked_for():
    place = Descriptors(direction="left", size="small")
    for seed in range(5):
        text = caption("Rain falls. ", place, random.Random(seed))
        assert "Rain falls " in text.replace(",", " ") and text.count(".") == 1
        assert "Rain falls. " in caption("Rain falls.", place, random.Random(seed), DISSE)
