import numpy as np
import pytest

from core.errors import InvalidValueError
from tasks.renderer.pool import Outcome
from tasks.renderer.repeatability import judged, probe
from tests.tasks.renderer.jobs import SHORT, jobs


@pytest.mark.parametrize("fault, kind", [("none", "deterministic"), ("random", "random"), ("memory", "order_dependent")])
def test_plug_ins_are_told_apart(small_synth, fault, kind):
    verdict, outcomes = probe("pedalboard", small_synth, SHORT, jobs(4, dict.fromkeys(range(4), fault)))
    assert verdict.kind == kind and verdict.presets == 4 and verdict.failed == 0
    assert (verdict.equal_again == 1) == (kind != "random") and (verdict.equal_reordered == 1) == (kind == "deterministic")
    assert (verdict.largest_difference == 0) == (kind == "deterministic")
    assert [one.id for one in outcomes] == [0, 1, 2, 3]


def outcome(number, *samples):
    return Outcome(number, np.asarray(samples, np.float32), "ok")


def test_the_verdict_is_counted():
    first = [outcome(0, 0.1), outcome(1, 0.2), Outcome(2, None, "crash"), outcome(3, 0.4)]
    again = [outcome(0, 0.1), outcome(1, 0.2), Outcome(2, None, "crash"), outcome(3, 0.4)]
    reordered = [outcome(0, 0.1), outcome(1, -0.3), Outcome(2, None, "crash"), outcome(3, 0.4)]
    verdict = judged(first, again, reordered)
    assert (verdict.kind, verdict.equal_again, verdict.equal_reordered, verdict.failed) == ("order_dependent", 1.0, 0.75, 1)
    assert verdict.largest_difference == pytest.approx(0.5)
    assert judged(first, reordered, first).kind == "random"
    assert judged(first, [*again[:2], Outcome(2, None, "hang"), again[3]], again).kind == "random", "another failure is another outcome"
    assert judged(first, again, first).digest != judged(reordered, again, first).digest


def test_one_preset_has_no_order(small_synth):
    with pytest.raises(InvalidValueError, match="too few presets"):
        probe("pedalboard", small_synth, SHORT, jobs(1))
