"""What a pool and its processes say to each other about presets: small records of numbers, since JSON took a tenth of what Dexed takes.

An order is :data:`ORDER`, then the indices (int32) and the raw values (float64) of its parameters. An answer is :data:`ANSWER`, then its
reason. Samples lie in memory that both share, in the order's slot.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from tasks.renderer.interface import Note

ORDER = struct.Struct("<IIIId")
"""Parameters, slot, pitch, velocity, and how long the key is down in seconds."""
ANSWER = struct.Struct("<IIdd")
"""Bytes of the reason, samples, seconds, and memory in MB."""
REASON_BYTES = 4000
"""What is longer is cut: answers must fit into a pipe that nobody reads for a while."""


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it into a pipe, which may take it in pieces."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@dataclass(frozen=True)
class Answer:
    """What a process says of a preset."""

    reason: str
    """Why there is no sound; empty: there is."""
    samples: int
    """Of the sound, in the order's slot."""
    seconds: float
    """Rendering took."""
    memory_mb: float
    """The process holds now."""


class Orders:
    """Writes orders; presets mostly name the same parameters, so that their indices are written once."""

    def __init__(self) -> None:
        self._names: tuple[int, ...] = ()
        self._indices = b""

    def packed(self, raw: Mapping[int, float], note: Note, slot: int) -> bytes:
        """Return an order as bytes."""
        names = tuple(raw)
        if names != self._names:
            self._names, self._indices = names, np.asarray(names, np.int32).tobytes()
        values = np.fromiter(raw.values(), np.float64, len(names)).tobytes()
        return ORDER.pack(len(names), slot, note.pitch, note.velocity, note.hold_s) + self._indices + values


def read_order(source: BinaryIO) -> tuple[dict[int, float], Note, int] | None:
    """Wait for an order and return raw values by index, note and slot; None when the input has ended."""
    head = source.read(ORDER.size)
    if len(head) < ORDER.size:
        return None
    count, slot, pitch, velocity, hold_s = ORDER.unpack(head)
    indices, values = (np.frombuffer(source.read(count * size), kind).tolist() for size, kind in ((4, np.int32), (8, np.float64)))
    return dict(zip(indices, values, strict=True)), Note(pitch, velocity, hold_s), slot


def packed_answer(answer: Answer) -> bytes:
    """Return an answer as bytes."""
    reason = answer.reason.encode(errors="replace")[:REASON_BYTES]
    return ANSWER.pack(len(reason), answer.samples, answer.seconds, answer.memory_mb) + reason


def take_answer(received: bytearray) -> Answer | None:
    """Cut an answer off the beginning of what has been received; None if not all of it is there yet."""
    if len(received) < ANSWER.size:
        return None
    length, samples, seconds, memory_mb = ANSWER.unpack_from(received)
    end = ANSWER.size + length
    if len(received) < end:
        return None
    reason = received[ANSWER.size : end].decode(errors="replace")
    del received[:end]
    return Answer(reason, samples, seconds, memory_mb)
