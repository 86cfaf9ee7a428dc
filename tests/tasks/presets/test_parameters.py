import dataclasses

import numpy as np
import pytest

from core.errors import InvalidValueError
from tasks.presets import draws, patterns
from tasks.presets.layout import Layout
from tasks.presets.parameters import Parameter, SynthSpec

SMALL = SynthSpec(
    "small",
    (
        Parameter(3, "level", "num", 0.25, interval=(0.2, 0.4)),
        Parameter(4, "wave", "cat", cardinality=6, excluded_categories=(1, 5)),
        Parameter(7, "steps", "num", 1.0, cardinality=4, weights=(21, 1, 1, 1)),
        Parameter(8, "on", "bin", 1.0, weights=(1, 3)),
        Parameter(9, "key_sync", "bin", 1.0),
        Parameter(11, "tuning", "num", 0.5, cardinality=4, values=(0.0, 0.5, 0.75, 1.0)),
    ),
    ("*_sync",),
)


def splitmix64(state):
    """Steele, Lea, Flood (2014), one number at a time."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) % 2**64
        yield z ^ z >> 31


def test_streams_are_splitmix64_from_any_place_on():
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert draws.words(np.asarray([1234567], np.uint64), 5)[0].tolist() == published
    states = draws.streams(-3, np.arange(4, dtype=np.uint64))
    assert len(set(states.tolist())) == 4
    for state, row in zip(states.tolist(), draws.words(states, 6, first=2).tolist(), strict=True):
        numbers = splitmix64(state)
        assert [next(numbers) for _ in range(8)][2:] == row
    assert (draws.uniform(1, np.arange(1000, dtype=np.uint64), 5) < 1).all()


def test_a_row_hangs_on_seed_and_number_only_and_redraws_go_on_in_its_stream():
    many = SMALL.sample(5, 0, 50)
    assert many.dtype == np.float32 and many.shape == (50, 5)
    assert np.array_equal(SMALL.sample(5, 20, 30), many[20:30])
    assert np.array_equal(SMALL.redraw(5, 7, 0), many[7])
    assert not np.array_equal(SMALL.redraw(5, 7, 1), many[7]) and not np.array_equal(SMALL.sample(6, 0, 50), many)
    uniform = draws.uniform(5, np.asarray([7], np.uint64), 15)[0]
    third = [one.drawn(uniform[10 + place : 11 + place])[0] for place, one in enumerate(SMALL.used)]
    assert np.array_equal(SMALL.redraw(5, 7, 2), np.float32(third))


def test_draws_follow_intervals_and_weights():
    level, wave, steps, on, tuning = SMALL.sample(1, 0, 20_000).T
    assert level.min() >= np.float32(0.2) and level.max() <= np.float32(0.4) and abs(level.mean() - 0.3) < 0.002
    assert np.bincount(wave.astype(int)) / 20_000 == pytest.approx([0.25] * 4, abs=0.015)
    assert set(steps) == {np.float32(k / 3) for k in range(4)} and np.mean(steps == 0) == pytest.approx(0.875, abs=0.01)
    assert set(on) == {0, 1} and on.mean() == pytest.approx(0.75, abs=0.015) and set(tuning) == {0, 0.5, 0.75, 1}


def test_raw_values_are_exact_and_the_rest_is_pinned():
    values = np.float32([[0.3, 0, 1 / 3, 1, 0.75], [0.3, 3, 0, 0, 0]])
    before = values.copy()
    raw = SMALL.raw(values)
    assert raw[:, 1].tolist() == [0, np.float32(0.8)], "categories 0, 2, 3 and 4 of six are left"
    assert np.array_equal(values, before) and raw.dtype == np.float32
    assert np.array_equal(SMALL.full(values)[:, [0, 1, 2, 3, 5]], raw) and (SMALL.full(values)[:, 4] == 1).all()
    assert SMALL.used[2].allowed == (0.0, 1 / 3, 2 / 3, 1.0), "not rounded to three digits"
    for wrong in ([0.3, 4, 0, 0, 0], [0.3, 0.5, 0, 0, 0], [1.1, 0, 0, 0, 0], [np.nan, 0, 0, 0, 0], [0, 0, 0, 0]):
        with pytest.raises(InvalidValueError):
            SMALL.raw([wrong])


def test_a_spec_survives_json_and_its_digest_hangs_on_meaning_only():
    again = SynthSpec.from_json(SMALL.to_json())
    assert again == SMALL and again.digest == SMALL.digest
    assert dataclasses.replace(SMALL, notes="x", backend="dexed").digest == SMALL.digest
    assert dataclasses.replace(SMALL, exclude=("key_sync", "on")).digest != SMALL.digest
    with pytest.raises(InvalidValueError, match="cardinalty"):
        SynthSpec.from_json({**SMALL.to_json(), "parameters": [{"index": 0, "name": "a", "kind": "num", "cardinalty": 3}]})
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.used[0].default = 1.0


def test_the_layout_of_a_small_spec():
    layout = Layout(SMALL)
    assert (layout.size, layout.scalar, layout.categorical, layout.cardinalities) == (5, (0, 2, 3, 4), (1,), (4,))
    assert (layout.width, layout.offsets, layout.values) == (8, (0,), ((0.0, 0.4, 0.6, 0.8),))
    assert layout.kinds == ("num", "cat", "num", "bin", "num") and layout.numeric == (0, 2, 4) and layout.binary == (3,)


@pytest.mark.parametrize(("pattern", "hits"), [("abc", "abc"), ("ab*", "abc abd"), ("*bc", "abc xbc"), ("*b*", "abc abd xbc b")])
def test_patterns(pattern, hits):
    names = ["abc", "abd", "xbc", "b", "c"]
    assert [name for name in names if patterns.matches(pattern, name)] == hits.split()


@pytest.mark.parametrize("pattern", ["nothing*", "*nothing*", "tunin", "*", "l*l"])
def test_a_pattern_that_matches_nothing_is_refused(pattern):
    with pytest.raises(InvalidValueError):
        dataclasses.replace(SMALL, exclude=(pattern,))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "num", "weights": (1.0,)}, {"kind": "num", "values": (0.0, 1.0)}, {"kind": "num", "interval": (0.5, 0.5)},
        {"kind": "num", "interval": (0.0, 1.2)}, {"kind": "num", "excluded_categories": (0,)}, {"kind": "bin", "cardinality": 3},
        {"kind": "cat"}, {"kind": "cat", "cardinality": 1}, {"kind": "cat", "cardinality": 3, "interval": (0.0, 0.5)},
        {"kind": "cat", "cardinality": 3, "values": (0.0, 1.0)}, {"kind": "cat", "cardinality": 3, "values": (0.0, 1.0, 0.5)},
        {"kind": "cat", "cardinality": 3, "values": (0.0, 0.5, 2.0)}, {"kind": "cat", "cardinality": 3, "excluded_categories": (3,)},
        {"kind": "cat", "cardinality": 3, "excluded_categories": (0, 1, 2)},
        {"kind": "cat", "cardinality": 3, "excluded_categories": (0,), "weights": (1.0, 1.0, 1.0)},
        {"kind": "cat", "cardinality": 3, "weights": (0.0, 0.0, 0.0)}, {"kind": "cat", "cardinality": 3, "weights": (-1.0, 1.0, 1.0)},
        {"kind": "knob"}, {"kind": "num", "default": 1.5},
    ],
)  # fmt: skip
def test_parameters_that_do_not_hold_together_are_refused(wrong):
    with pytest.raises(InvalidValueError, match="parameter a"):
        Parameter(0, "a", **wrong)


def test_specs_that_do_not_hold_together_are_refused():
    one, other = Parameter(0, "a", "num"), Parameter(1, "b", "num")
    for wrong in ((one, one), (one, dataclasses.replace(other, index=0)), (one, dataclasses.replace(other, name="a")), ()):
        with pytest.raises(InvalidValueError, match="spec s"):
            SynthSpec("s", wrong)
    with pytest.raises(InvalidValueError, match="nothing is used"):
        SynthSpec("s", (one, other), ("a", "b"))
