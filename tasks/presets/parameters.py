"""What a synthesiser's parameters are: records, which of them are used, and how presets are drawn from them (synth-proxy, 2025)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from core import contract
from core.errors import InvalidValueError
from tasks.presets import draws, patterns

Values = npt.NDArray[np.float32]
CONTINUOUS = -1
"""Cardinality of a parameter without steps."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a plug-in. ``values``, ``weights`` and ``cardinality`` are as declared; :attr:`allowed` is what is left of them."""

    index: int
    """The plug-in's own index."""
    name: str
    """The plug-in's name for it."""
    kind: Literal["num", "cat", "bin"]
    """A number, one of several categories, or a switch."""
    default: float = 0.0
    """Raw value, 0 … 1, that the parameter is pinned to where it is not used."""
    cardinality: int = CONTINUOUS
    """Number of steps or categories of the plug-in; −1: a number without steps."""
    values: tuple[float, ...] = ()
    """Raw value of each step; none: exactly k / (cardinality − 1)."""
    weights: tuple[float, ...] = ()
    """How often each step that is left after ``excluded_categories`` is drawn, in any unit; none: all alike."""
    interval: tuple[float, float] = (0.0, 1.0)
    """Raw values that a number without steps is drawn from."""
    excluded_categories: tuple[int, ...] = ()
    """Steps, counted as the plug-in does, that are never drawn."""

    def __post_init__(self) -> None:
        where = f"parameter {self.name or self.index}"
        if not self.name or self.index < 0:
            raise InvalidValueError("wants a name and an index from 0", where=where, received=[self.index, self.name])
        if self.kind not in ("num", "cat", "bin"):
            raise InvalidValueError("no such kind", where=f"{where}.kind", allowed=["num", "cat", "bin"], received=self.kind)
        for name in ("values", "weights", "interval"):  # 1 and 1.0 would make two digests of one spec
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        object.__setattr__(self, "default", float(self.default))
        contract.check_range(f"{where}.default", self.default, 0.0, 1.0)
        if self.kind == "bin" and self.cardinality == CONTINUOUS:
            object.__setattr__(self, "cardinality", 2)
        if self.kind == "num" and self.cardinality == CONTINUOUS:
            self._check_continuous(where)
        else:
            self._check_discrete(where)

    def _check_continuous(self, where: str) -> None:
        for name in ("values", "weights", "excluded_categories"):
            if getattr(self, name):
                hint = "give a cardinality too"
                raise InvalidValueError(
                    "a number without steps has none", where=f"{where}.{name}", allowed=(), received=getattr(self, name), hint=hint
                )
        low, high = self.interval
        if not 0.0 <= low < high <= 1.0:
            raise InvalidValueError("no interval", where=f"{where}.interval", allowed="0 ≤ low < high ≤ 1", received=self.interval)

    def _check_discrete(self, where: str) -> None:
        least = 2 if self.kind != "num" else 1
        if self.cardinality < least or (self.kind == "bin" and self.cardinality != 2):
            allowed = "2" if self.kind == "bin" else f"{least} or more"
            raise InvalidValueError("wrong number of steps", where=f"{where}.cardinality", allowed=allowed, received=self.cardinality)
        if self.interval != (0.0, 1.0):
            hint = "exclude steps instead"
            raise InvalidValueError("only numbers without steps have one", where=f"{where}.interval", received=self.interval, hint=hint)
        if self.values and (len(self.values) != self.cardinality or min(self.values) < 0 or max(self.values) > 1):
            raise InvalidValueError("wrong values", where=f"{where}.values", allowed=f"{self.cardinality} of 0 … 1", received=self.values)
        if list(self.values) != sorted(set(self.values)):
            raise InvalidValueError("not rising", where=f"{where}.values", allowed="each above the one before", received=self.values)
        excluded = set(self.excluded_categories)
        if len(excluded) != len(self.excluded_categories) or not excluded <= set(range(self.cardinality)):
            allowed = f"0 … {self.cardinality - 1}, each once"
            raise InvalidValueError(
                "no such steps", where=f"{where}.excluded_categories", allowed=allowed, received=self.excluded_categories
            )
        if len(excluded) == self.cardinality:
            raise InvalidValueError("no step is left", where=f"{where}.excluded_categories", received=self.excluded_categories)
        if self.weights and (len(self.weights) != self.count or min(self.weights) < 0 or sum(self.weights) <= 0):
            allowed = f"{self.count}, one for each step that is left, none negative, not all 0"
            raise InvalidValueError("wrong weights", where=f"{where}.weights", allowed=allowed, received=self.weights)

    @property
    def is_discrete(self) -> bool:
        """Whether it has steps."""
        return self.cardinality != CONTINUOUS

    @property
    def count(self) -> int:
        """Steps that are left; 0 for a number without steps."""
        return self.cardinality - len(self.excluded_categories) if self.is_discrete else 0

    @cached_property
    def allowed(self) -> tuple[float, ...]:
        """Raw values of the steps that are left, rising and exact: k / (cardinality − 1), not rounded to three digits."""
        every = self.values or tuple(k / max(1, self.cardinality - 1) for k in range(max(0, self.cardinality)))
        return tuple(value for k, value in enumerate(every) if k not in self.excluded_categories)

    @cached_property
    def probabilities(self) -> tuple[float, ...]:
        """How likely each step that is left is drawn; their sum is 1."""
        weights = self.weights or (1.0,) * self.count
        return tuple(weight / sum(weights) for weight in weights)

    @cached_property
    def _cumulative(self) -> npt.NDArray[np.float64]:
        return np.cumsum(self.probabilities)

    @cached_property
    def _outcomes(self) -> npt.NDArray[np.float64]:
        """Values that draws of each step become."""
        return np.arange(self.count, dtype=np.float64) if self.kind == "cat" else np.asarray(self.allowed)

    def drawn(self, uniform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Turn uniform numbers of [0, 1) into values: raw ones, and numbers of categories for ``cat``."""
        if not self.is_discrete:
            low, high = self.interval
            return low + uniform * (high - low)
        # The sum may end up a little below 1.
        numbers = np.minimum(np.searchsorted(self._cumulative, uniform, side="right"), self.count - 1)
        return np.asarray(self._outcomes[numbers])

    def to_json(self) -> dict[str, Any]:
        """Return its fields, those at their default left out."""
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        kept = {item.name: given[item.name] for item in fields(self) if given[item.name] != item.default}
        if self.kind == "bin":
            kept.pop("cardinality")
        return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}


@dataclass(frozen=True)
class SynthSpec:
    """A synthesiser: its parameters, and which of them are never moved. A preset is a row of values of the used parameters.

    A value is the raw value, 0 … 1, of a number or a switch, and the number of the category (0, 1, …) of a category.
    """

    name: str
    """Of the synthesiser."""
    parameters: tuple[Parameter, ...]
    """All of them, in the plug-in's order."""
    exclude: tuple[str, ...] = ()
    """Names, or patterns ``abc*``, ``*abc``, ``*abc*``, of parameters that are pinned to their default. Each must match."""
    backend: str = ""
    """Back end that the indices belong to."""
    notes: str = ""
    """Where the spec comes from."""

    def __post_init__(self) -> None:
        where = f"spec {self.name}"
        if not self.name or not self.parameters:
            raise InvalidValueError("wants a name and parameters", where=where, received=[self.name, len(self.parameters)])
        for what in ("index", "name"):
            counted = Counter(getattr(one, what) for one in self.parameters)
            if twice := sorted(value for value, count in counted.items() if count > 1):
                raise InvalidValueError(f"the same {what} twice", where=where, allowed="each once", received=twice)
        names = [one.name for one in self.parameters]
        for pattern in self.exclude:
            patterns.check(pattern, names, f"{where}.exclude")
        if not self.used:
            raise InvalidValueError("nothing is used", where=f"{where}.exclude", allowed="at least one left", received=list(self.exclude))

    @cached_property
    def used(self) -> tuple[Parameter, ...]:
        """Parameters that presets set, in order; the places in a preset's row count these."""
        return tuple(one for one in self.parameters if not patterns.any_matches(self.exclude, one.name))

    @cached_property
    def pinned(self) -> tuple[Parameter, ...]:
        """Parameters that stay at their default."""
        return tuple(one for one in self.parameters if patterns.any_matches(self.exclude, one.name))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what decides on presets: name, parameters, exclusions. Back end and notes are left out."""
        told = {name: value for name, value in self.to_json().items() if name not in ("backend", "notes")}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def sample(self, seed: int, start: int, stop: int) -> Values:
        """Draw presets number ``start`` … ``stop`` − 1: float32 [stop − start, used]. A row hangs on seed and number only."""
        return self._drawn(draws.uniform(seed, np.arange(start, stop, dtype=np.uint64), len(self.used)))

    def redraw(self, seed: int, index: int, attempt: int) -> Values:
        """Draw a preset again: the next numbers of its own stream, float32 [used]; attempt 0 is what :meth:`sample` draws."""
        numbers = draws.uniform(seed, np.asarray([index], dtype=np.uint64), len(self.used), first=attempt * len(self.used))
        return np.asarray(self._drawn(numbers)[0])

    def _drawn(self, uniform: npt.NDArray[np.float64]) -> Values:
        # All numbers without steps at once; elsewhere their interval is 0 … 1.
        low, high = self._intervals
        found: Values = (low + uniform * (high - low)).astype(np.float32)
        for place in self._discrete:
            found[:, place] = self.used[place].drawn(uniform[:, place])
        return found

    @cached_property
    def _intervals(self) -> npt.NDArray[np.float64]:
        """Low and high end of each used parameter's interval [2, used]."""
        return np.asarray(np.asarray([one.interval for one in self.used]).T)

    @cached_property
    def _discrete(self) -> tuple[int, ...]:
        return tuple(place for place, one in enumerate(self.used) if one.is_discrete)

    @cached_property
    def _highest(self) -> Values:
        """Greatest value of each used parameter: 1, or the number of the last category."""
        return np.asarray([one.count - 1 if one.kind == "cat" else 1 for one in self.used], np.float32)

    def raw(self, values: npt.ArrayLike) -> Values:
        """Return the raw plug-in values, 0 … 1, float32 [n, used], of presets [n, used]; a copy.

        Raises:
            InvalidValueError: another shape, a value outside 0 … 1, or no such category.
        """
        given = np.atleast_2d(np.asarray(values, np.float32))
        if given.ndim != 2 or given.shape[1] != len(self.used):
            allowed = f"[n, {len(self.used)}]"
            raise InvalidValueError("wrong shape", where=f"spec {self.name}.raw", allowed=allowed, received=list(given.shape))
        categorical = list(positions(self.used, "cat"))
        good = (given >= 0) & (given <= self._highest)
        good[:, categorical] &= given[:, categorical] == np.rint(given[:, categorical])
        if not good.all():
            row, place = (int(places[0]) for places in np.nonzero(~good))
            one, top = self.used[place], int(self._highest[place])
            allowed = f"whole numbers 0 … {top}" if one.kind == "cat" else "0 … 1"
            where = f"spec {self.name}.{one.name}"
            raise InvalidValueError("not a value", where=where, allowed=allowed, received=float(given[row, place]))
        found = given.copy()
        for place in categorical:
            found[:, place] = np.asarray(self.used[place].allowed, np.float32)[given[:, place].astype(np.int64)]
        return found

    def full(self, values: npt.ArrayLike) -> Values:
        """Return the raw values of all parameters in their order, float32 [n, all]: those of presets [n, used], defaults elsewhere."""
        raw = self.raw(values)
        defaults, places = self._pattern
        found = np.tile(defaults, (len(raw), 1))
        found[:, places] = raw
        return found

    @cached_property
    def _pattern(self) -> tuple[Values, npt.NDArray[np.int64]]:
        """Defaults of all parameters, and the places of the used ones among them."""
        used = {one.index for one in self.used}
        places = [place for place, one in enumerate(self.parameters) if one.index in used]
        return np.asarray([one.default for one in self.parameters], np.float32), np.asarray(places, np.int64)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        told = {"name": self.name, "backend": self.backend, "notes": self.notes, "exclude": list(self.exclude)}
        return {**told, "parameters": [one.to_json() for one in self.parameters]}

    @classmethod
    def from_json(cls, data: Any, where: str = "spec") -> SynthSpec:
        """Build a spec from parsed JSON.

        Raises:
            InvalidValueError: an unknown or missing key, a wrong type, or a spec that does not hold together.
        """
        return contract.build(cls, data, where)


def positions(parameters: Sequence[Parameter], *kinds: str) -> tuple[int, ...]:
    """Return the places of the parameters of some kinds."""
    return tuple(place for place, one in enumerate(parameters) if one.kind in kinds)
