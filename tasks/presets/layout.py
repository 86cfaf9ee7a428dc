"""How a preset's row is laid out for a network: which places are numbers, which categories, and where their one-hot blocks lie."""

from __future__ import annotations

from itertools import accumulate

from tasks.presets.parameters import SynthSpec, positions


class Layout:
    """The layout of the presets of a spec. Places count the used parameters; all sequences are tuples of plain numbers.

    Args:
        spec: of the synthesiser.
    """

    def __init__(self, spec: SynthSpec) -> None:
        used = spec.used
        self.spec = spec
        self.size: int = len(used)
        """Used parameters: values of a preset's row."""
        self.names: tuple[str, ...] = tuple(one.name for one in used)
        """Of the used parameters."""
        self.kinds: tuple[str, ...] = tuple(one.kind for one in used)
        """``num``, ``cat`` or ``bin`` of each."""
        self.scalar: tuple[int, ...] = positions(used, "num", "bin")
        """Places of numbers (with and without steps) and switches."""
        self.numeric: tuple[int, ...] = positions(used, "num")
        """Places of numbers."""
        self.binary: tuple[int, ...] = positions(used, "bin")
        """Places of switches."""
        self.categorical: tuple[int, ...] = positions(used, "cat")
        """Places of categories."""
        self.cardinalities: tuple[int, ...] = tuple(used[place].count for place in self.categorical)
        """Categories of each categorical parameter, excluded ones not counted."""
        self.offsets: tuple[int, ...] = tuple(accumulate(self.cardinalities, initial=0))[:-1]
        """Where the block of each categorical parameter begins, in a table of all categories; a one-hot row has it behind the scalars."""
        self.values: tuple[tuple[float, ...], ...] = tuple(used[place].allowed for place in self.categorical)
        """Exact raw values, 0 … 1, of each categorical parameter's categories."""
        self.categories: int = sum(self.cardinalities)
        """Of all categorical parameters together."""
        self.width: int = len(self.scalar) + self.categories
        """Of a one-hot row: all scalars, then a block for each categorical parameter."""
