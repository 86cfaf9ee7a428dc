import json

import pytest

from core import events


def test_round_trip_and_non_finite_numbers():
    line = events.encode("metric", name="loss", value=float("inf"), step=3)
    assert events.decode(line) == {"event": "metric", "name": "loss", "value": None, "step": 3}


@pytest.mark.parametrize("line", ["plain", events.MARKER + "{broken", events.MARKER + "[1]", events.MARKER + json.dumps({"event": "rm"})])
def test_anything_else_is_log(line):
    assert events.decode(line) is None


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown event"):
        events.encode("explode")
