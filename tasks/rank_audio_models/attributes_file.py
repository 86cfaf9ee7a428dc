"""Sound attributes as data: which parameters of a synthesiser move, and in what kind of preset."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core import contract
from core.errors import InvalidValueError, nearest
from tasks.presets import draws, patterns
from tasks.presets.parameters import SynthSpec

FOLDER = Path(__file__).parent / "attributes"
WITHIN_STREAM = 0x77697468
"""Added to the seed for values drawn within an interval, so that they do not hang on the spec's own draws."""
BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Setting:
    """Values that are put in place of drawn ones, by name or pattern; ``op{1,3}_mode`` stands for ``op1_mode`` and ``op3_mode``."""

    set: dict[str, float] = field(default_factory=dict)
    """Raw values."""
    within: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Intervals that raw values are drawn from."""


@dataclass(frozen=True)
class Attribute:
    """A sound attribute."""

    title: str
    """What it is called."""
    move: dict[str, tuple[float, float]]
    """Raw values at its lowest and at its highest setting; steps lie evenly between."""
    set: dict[str, float] = field(default_factory=dict)
    """As :class:`Setting`, over what the base says."""
    within: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Likewise."""
    stands_for: str = ""
    """The published attribute that it takes the place of, where the synthesiser has no such thing."""


@dataclass(frozen=True)
class Attributes:
    """The attributes of a synthesiser."""

    synth: str
    """Name of its spec."""
    attributes: dict[str, Attribute]
    """By name."""
    base: Setting = field(default_factory=Setting)
    """Of all presets."""
    notes: str = ""
    """What a reader should know."""


def load(name_or_path: str | Path) -> Attributes:
    """Return the attributes of a synthesiser by its name, or those of a JSON file.

    Raises:
        InvalidValueError: none, or a file that does not hold together.
    """
    path = Path(name_or_path)
    if not path.is_file() and (FOLDER / f"{name_or_path}.json").is_file():
        path = FOLDER / f"{name_or_path}.json"
    known = sorted(item.stem for item in FOLDER.glob("*.json"))
    if not path.is_file():
        hint = nearest(str(name_or_path), known)
        raise InvalidValueError("no attributes", where="rank_audio_models.attributes", allowed=[*known, "a JSON file"],
                                received=str(name_or_path), hint=hint)  # fmt: skip
    try:
        data = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"no JSON: {error}", where=str(path), allowed="attributes", received=path.name) from error
    return contract.build(Attributes, data, path.name)


def expanded(pattern: str, spec: SynthSpec) -> list[str]:
    """Return the names of parameters, used or pinned, that a name or pattern stands for.

    Raises:
        InvalidValueError: none.
    """
    if match := BRACES.search(pattern):
        return [name for part in match[1].split(",") for name in expanded(pattern[: match.start()] + part + pattern[match.end() :], spec)]
    names = [one.name for one in spec.parameters]
    patterns.check(pattern, names, "rank_audio_models.attributes")
    return [name for name in names if patterns.matches(pattern, name)]


def _spread(values: dict[str, Any], spec: SynthSpec) -> dict[str, Any]:
    """Return values by full name; a later entry is put over an earlier one."""
    return {name: value for pattern, value in values.items() for name in expanded(pattern, spec)}


class Sweep:
    """The presets of one attribute, and their steps.

    Args:
        spec: of the synthesiser.
        every: its attributes.
        name: of the one.
        seed: of the presets.
    """

    def __init__(self, spec: SynthSpec, every: Attributes, name: str, seed: int) -> None:
        if name not in every.attributes:
            hint = nearest(name, every.attributes)
            raise InvalidValueError("no such attribute", where="rank_audio_models.only", received=name, hint=hint)
        self.spec, self.name, self.attribute = spec, name, every.attributes[name]
        # What the attribute says comes over all that the base says, whether that sets or draws.
        self._set, self._within = _spread(every.base.set, spec), _spread(every.base.within, spec)
        own_set, own_within = _spread(self.attribute.set, spec), _spread(self.attribute.within, spec)
        self._set = {key: value for key, value in self._set.items() if key not in own_within} | own_set
        self._within = {key: value for key, value in self._within.items() if key not in own_set} | own_within
        self._move = _spread(self.attribute.move, spec)
        for what in (self._set, self._within, self._move):
            for key, value in what.items():
                for one in value if isinstance(value, tuple) else (value,):
                    contract.check_range(f"rank_audio_models.attributes.{name}.{key}", one, 0.0, 1.0)
        self._seed = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big")
        self._indices = {one.name: one.index for one in spec.parameters}

    def raw(self, preset: int, attempt: int, steps: int) -> list[dict[int, float]]:
        """Return the raw values by the plug-in's index of every step of a preset; they hang on seed, attribute, preset and attempt."""
        drawn = self.spec.full(self.spec.redraw(self._seed, preset, attempt))[0]
        values = {one.name: float(value) for one, value in zip(self.spec.parameters, drawn, strict=True)}
        names = sorted(self._within)
        if names:
            number = np.asarray([preset], np.uint64)
            uniform = draws.uniform(self._seed + WITHIN_STREAM, number, len(names), attempt * len(names))[0]
            for key, share in zip(names, uniform.tolist(), strict=True):
                low, high = self._within[key]
                values[key] = low + share * (high - low)
        values |= self._set
        shares = [step / (steps - 1) for step in range(steps)]
        moved = [{key: low + share * (high - low) for key, (low, high) in self._move.items()} for share in shares]
        return [{self._indices[key]: value for key, value in {**values, **one}.items()} for one in moved]
