from dataclasses import dataclass
from typing import Literal

import pytest

from core.contract import build, load_spec, to_dict
from core.errors import InvalidValueError


@dataclass(frozen=True)
class Inner:
    rate: float = 1.0


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 1
    mode: Literal["a", "b"] = "a"
    folds: tuple[str, ...] = ()
    pair: tuple[int, int] = (1, 2)
    note: str | None = None
    inner: Inner = Inner()
    table: dict[str, Inner] | None = None


def test_round_trip_through_json_types():
    value = Outer("x", 2, "b", ("1", "2"), (3, 4), None, Inner(2.5), {"k": Inner(3.0)})
    assert build(Outer, to_dict(value)) == value


@pytest.mark.parametrize(
    ("data", "where", "text"),
    [
        ({"name": "x", "cuont": 1}, "request.cuont", "did you mean 'count'"),
        ({"name": "x", "count": 1.5}, "request.count", "int"),
        ({"name": "x", "count": True}, "request.count", "int"),
        ({"name": 3}, "request.name", "str"),
        ({}, "request.name", "missing"),
        ({"name": "x", "mode": "c"}, "request.mode", "['a', 'b']"),
        ({"name": "x", "inner": {"rate": "fast"}}, "request.inner.rate", "float"),
        ({"name": "x", "inner": {"rate": float("nan")}}, "request.inner.rate", "float"),
        ({"name": "x", "pair": [1]}, "request.pair", "2 values"),
        ({"name": "x", "folds": "1"}, "request.folds", "list"),
        ({"name": "x", "folds": [1]}, "request.folds[0]", "str"),
        ({"name": "x", "table": {"k": 3}}, "request.table.k", "mapping"),
    ],
)
def test_errors_name_the_key_and_what_is_allowed(data, where, text):
    with pytest.raises(InvalidValueError) as caught:
        build(Outer, data)
    assert where in str(caught.value) and text in str(caught.value)


def test_whole_floats_become_ints_and_ints_become_floats():
    built = build(Outer, {"name": "x", "count": 3.0, "inner": {"rate": 2}})
    assert built.count == 3 and isinstance(built.count, int) and isinstance(built.inner.rate, float)


def test_unknown_stage_is_refused():
    with pytest.raises(InvalidValueError, match="no such stage"):
        load_spec("no_such_stage")
