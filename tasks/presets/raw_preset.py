"""A preset as a file has it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RawPreset:
    """One preset of a bank."""

    name: str
    """``<file> <number> <what the file calls it>``; no two presets of a folder share it."""
    parameters: dict[str, float]
    """Raw values, 0 … 1, by the parameter's name."""
    labels: tuple[str, ...] = ()
    """What the file says of the sound."""
