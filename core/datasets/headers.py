"""Reads the headers of FLAC and WAV files with the standard library: where the command line runs there is no sound library."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_EXTENSIBLE = 0xFFFE


@dataclass(frozen=True)
class Header:
    """What a sound file says of itself."""

    sample_rate_hz: int
    """Sample rate."""
    channels: int
    """Number of channels."""
    samples: int
    """Samples per channel; 0 where a FLAC file does not say."""


class Unreadable(Exception):
    """A file that calls itself FLAC or WAV has no header to match."""


def known(suffix: str) -> bool:
    """Whether a file's header can be read, by its suffix."""
    return suffix.lower() in _READERS


def read(path: Path) -> Header | None:
    """Return a file's header; None where its suffix is that of another format. Raises: :class:`Unreadable`."""
    if not known(path.suffix):
        return None
    with path.open("rb") as handle:
        return parse(handle, path.suffix, path.stat().st_size)


def parse(handle: BinaryIO, suffix: str, size: int) -> Header:
    """Return the header at the beginning of an open file.

    Args:
        handle: open for reading at the file's first byte.
        suffix: a :func:`known` one.
        size: of the file in bytes.

    Raises:
        Unreadable: it is cut short or is something else.
    """
    try:
        return _READERS[suffix.lower()](handle, size)
    except struct.error as error:
        raise Unreadable(f"cut short within its header: {error}") from error


def _flac(handle: BinaryIO, size: int) -> Header:
    """STREAMINFO, the first block of every FLAC stream (RFC 9639, section 8.2)."""
    magic, kind, body = handle.read(4), handle.read(4), handle.read(34)
    if magic != b"fLaC" or not kind or kind[0] & 0x7F:
        raise Unreadable("no FLAC stream")
    packed = struct.unpack(">Q", body[10:18])[0]
    header = Header(sample_rate_hz=packed >> 44, channels=(packed >> 41 & 7) + 1, samples=packed & (1 << 36) - 1)
    if not header.sample_rate_hz:
        raise Unreadable("a sample rate of 0 Hz")
    return header


def _wav(handle: BinaryIO, size: int) -> Header:
    """The chunks ``fmt`` and ``data`` of a RIFF WAVE file."""
    riff, _, wave = struct.unpack("<4sI4s", handle.read(12))
    if riff != b"RIFF" or wave != b"WAVE":
        raise Unreadable("no RIFF WAVE file")
    form: tuple[int, ...] = ()
    while True:
        name, length = struct.unpack("<4sI", handle.read(8))
        if name == b"data":
            break
        body = handle.read(length + length % 2)
        if name == b"fmt ":
            form = struct.unpack("<HHIIHH", body[:16])
    if not form or not form[2] or not form[4]:
        raise Unreadable("no format before its samples")
    if handle.tell() + length > size and form[0] in (1, 3, _EXTENSIBLE):
        raise Unreadable(f"cut short: {length} bytes of samples announced, {size - handle.tell()} there")
    return Header(sample_rate_hz=form[2], channels=form[1], samples=length // form[4])


_READERS: dict[str, Callable[[BinaryIO, int], Header]] = {".flac": _flac, ".wav": _wav}
