import io
import math

import numpy as np
import pytest

from tasks.renderer.interface import Note
from tasks.renderer.messages import ANSWER, REASON_BYTES, Answer, Orders, packed_answer, read_order, take_answer


def test_orders_arrive_as_they_were_given():
    packing = Orders()
    given = [
        ({3: 0.1, 0: 1.0, 2_000_000: math.pi}, Note(61, 99, 0.25), 3), ({3: 0.2, 0: -1.0, 2_000_000: 1e-300}, Note(61, 99, 0.25), 0),
        ({}, Note(), 1), ({np.int64(7): np.float32(0.5)}, Note(), 2), ({1: math.inf}, Note(), 0),
    ]  # fmt: skip
    stream = io.BytesIO(b"".join(packing.packed(raw, note, slot) for raw, note, slot in given))
    assert [read_order(stream) for _ in given] == given
    assert read_order(stream) is None


def test_a_number_that_is_none_arrives_as_one():
    raw, _, _ = read_order(io.BytesIO(Orders().packed({1: math.nan}, Note(), 0)))
    assert math.isnan(raw[1])


def test_answers_are_cut_off_as_they_arrive_in_pieces():
    given = [Answer("", 160_000, 0.004, 42.5), Answer("ValueError: größer als erlaubt", 0, 0.1, 43.0)]
    received, found = bytearray(), []
    for byte in b"".join(map(packed_answer, given)):
        received.append(byte)
        if (answer := take_answer(received)) is not None:
            found.append(answer)
    assert found == given and not received


@pytest.mark.parametrize("reason", ["x" * 100_000, "ä" * 100_000, "\udcff"])
def test_reasons_fit_into_a_pipe(reason):
    packed = packed_answer(Answer(reason, 0, 0.0, 0.0))
    assert len(packed) <= ANSWER.size + REASON_BYTES
    assert take_answer(bytearray(packed)).reason[:1] in ("x", "ä", "?")
