"""Event files that TensorBoard opens: scalars, sounds, pictures. Written out here, since its own writer brings a server and gRPC along.

A file is a row of records (length, checksum, bytes, checksum; TensorFlow's TFRecord), each a protocol buffer ``Event``. An event's time is
its step, so that the same training gives the same bytes.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from core import audio

NAME = "events.out.tfevents.0000000000.synthloom"
POLYNOMIAL = 0x82F63B78
"""CRC-32C (Castagnoli et al., 1993), bits reversed."""
MASK = 0xA282EAD8


def _table() -> list[int]:
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ POLYNOMIAL * (value & 1)
        found.append(value)
    return found


TABLE = _table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of some bytes."""
    value = 0xFFFFFFFF
    for byte in data:
        value = TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    value = crc32c(data)
    return struct.pack("<I", ((value >> 15 | value << 17 & 0xFFFFFFFF) + MASK) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


class EventWriter:
    """Writes one event file into a folder; a context manager.

    Args:
        folder: what TensorBoard is pointed at (``--logdir``) or something below it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = (folder / NAME).open("wb")
        self._event(0, _bytes(3, b"brain.Event:2"))

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Add one point of a curve."""
        self._value(tag, _float(2, value), step)

    def sound(self, tag: str, samples: audio.Samples, sample_rate_hz: int, step: int) -> None:
        """Add a sound [samples] in full scale ±1, as WAV of 16 bit."""
        wav = io.BytesIO()
        soundfile.write(wav, np.clip(samples, -1, 1), sample_rate_hz, format="WAV", subtype="PCM_16")
        body = _float(1, float(sample_rate_hz)) + _number(2, 1) + _number(3, len(samples)) + _bytes(4, wav.getvalue())
        self._value(tag, _bytes(6, body + _bytes(5, b"audio/wav")), step)

    def picture(self, tag: str, png: bytes, step: int) -> None:
        """Add a PNG."""
        width, height = struct.unpack(">II", png[16:24])  # of its header
        self._value(tag, _bytes(4, _number(1, height) + _number(2, width) + _number(3, 4) + _bytes(4, png)), step)

    def _value(self, tag: str, body: bytes, step: int) -> None:
        self._event(step, _bytes(5, _bytes(1, _bytes(1, tag.encode()) + body)))

    def _event(self, step: int, body: bytes) -> None:
        data = _varint(1 << 3 | 1) + struct.pack("<d", float(step)) + _number(2, step) + body
        length = struct.pack("<Q", len(data))
        self._file.write(length + _masked(length) + data + _masked(data))
