"""The event file, read back by a small reader of its own."""

import csv
import io
import struct

import numpy as np
import pytest
import soundfile

from tasks.training import events
from tests.tasks.train_contrastive.runs import train


def varint(data, at):
    value, shift = 0, 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


def fields(data):
    """Return {number: [values]} of a protocol buffer."""
    found, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 2:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            size, form = {1: (8, "<d"), 5: (4, "<f")}[kind]
            value, at = struct.unpack(form, data[at : at + size])[0], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def unmasked(data):
    value = (struct.unpack("<I", data)[0] - 0xA282EAD8) & 0xFFFFFFFF
    return (value >> 17 | value << 15) & 0xFFFFFFFF


def records(data):
    at = 0
    while at < len(data):
        length = struct.unpack("<Q", data[at : at + 8])[0]
        assert unmasked(data[at + 8 : at + 12]) == events.crc32c(data[at : at + 8])
        body = data[at + 12 : at + 12 + length]
        assert unmasked(data[at + 12 + length : at + 16 + length]) == events.crc32c(body)
        yield fields(body)
        at += 16 + length


def test_checksums_are_the_published_ones():
    # RFC 3720, B.4: 32 bytes of zeros, of ones, and rising; and the usual check value.
    assert events.crc32c(bytes(32)) == 0x8A9136AA and events.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert events.crc32c(bytes(range(32))) == 0x46DD794E and events.crc32c(b"123456789") == 0xE3069283


def test_a_training_writes_curves_sounds_and_picture_when_asked(tmp_path):
    _, output = train(tmp_path, sample_pairs=2, tensorboard=True)
    _, again = train(tmp_path, "again", sample_pairs=2, tensorboard=True)
    data = (output / "tensorboard" / events.NAME).read_bytes()
    assert data == (again / "tensorboard" / events.NAME).read_bytes()
    first, *rest = records(data)
    assert first[3] == [b"brain.Event:2"]
    values = {}
    for event in rest:
        (summary,) = event[5]
        (value,) = fields(summary)[1]
        parts = fields(value)
        values.setdefault(parts[1][0].decode(), []).append((event[2][0], parts))
    with (output / "curves.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    for name in ("loss", "align", "uniform"):
        wanted = [(int(row["step"]), float(row["value"])) for row in rows if row["curve"] == name]
        found = [(step, parts[2][0]) for step, parts in values[f"train/{name}"]]
        assert [step for step, _ in found] == [step for step, _ in wanted] == [1, 2, 3, 4, 5, 6]
        assert [value for _, value in found] == pytest.approx([value for _, value in wanted], rel=1e-6)
    assert [step for step, _ in values["val/uniform"]] == [3, 6]
    for name in ("00-first", "01-second"):
        ((step, parts),) = values[f"pairs/{name}"]
        sound = fields(parts[6][0])
        samples, rate = soundfile.read(io.BytesIO(sound[4][0]))
        kept, _ = soundfile.read(output / "pairs" / f"{name}.flac")
        assert (step, rate, sound[1][0], sound[3][0], sound[5][0]) == (6, 16000, 16000.0, len(kept), b"audio/wav")
        assert np.allclose(samples, kept, atol=1e-4)
    ((_, parts),) = values["pairs/features"]
    picture = fields(parts[4][0])
    assert picture[4][0] == (output / "pairs.png").read_bytes() and picture[1][0] > 100 < picture[2][0]


def test_without_being_asked_there_is_none(tmp_path):
    _, output = train(tmp_path, sample_pairs=1)
    assert not (output / "tensorboard").exists() and (output / "curves.csv").is_file()
