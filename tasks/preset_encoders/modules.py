"""Presets as one token per module of the synthesiser (an operator, an oscillator, an envelope) instead of one per parameter.

Modules of the same form, such as Dexed's six operators, share their weights: what one teaches holds for all. A preset of 100 parameters
becomes 9 tokens instead of 101, and attention has to find out how modules play together, not first which parameters belong together.
Numbers enter as piecewise linear encodings (Gorishniy et al., 2022, "On Embeddings for Numerical Features in Tabular Deep Learning"):
a number times one vector, as in FT-Transformer, cannot say that a ratio of 2 sounds unlike 1 and 3.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tasks.preset_encoders.representations import Representation
from tasks.presets.layout import Layout

MODULE = re.compile(r"([^.:]+)[.:](.+)|([A-Za-z]+(?: [A-Za-z]+)?[ _]?\d+)[ _](.+)")
"""``adsr_1.attack`` and ``env1:attack`` up to the sign; ``op1_f_fine`` and ``osc_2_phase`` up to the first number."""
REST_TOKENS = 2
"""Tokens of what belongs to no module: algorithm, feedback, the only LFO."""


@dataclass(frozen=True)
class Form:
    """Modules with the same parameters."""

    names: tuple[str, ...]
    """Of the modules, in the order of their first parameter."""
    places: tuple[tuple[int, ...], ...]
    """Of the parameters of each module among the used ones, in the same order in each."""


def forms(layout: Layout) -> tuple[tuple[Form, ...], tuple[int, ...]]:
    """Return the modules of a layout by form, and the places of the parameters that belong to none.

    A name says which module its parameter belongs to; a module of one parameter is none.
    """
    found: dict[str, dict[str, int]] = {}
    for place, name in enumerate(layout.names):
        match = MODULE.fullmatch(name)
        if match:
            found.setdefault(match[1] or match[3], {})[match[2] or match[4]] = place
    found = {name: parts for name, parts in found.items() if len(parts) > 1}
    kinds: dict[tuple[object, ...], list[str]] = {}
    for name, parts in found.items():
        used = [layout.spec.used[place] for place in parts.values()]
        kinds.setdefault(tuple((part, one.kind, one.allowed) for part, one in zip(parts, used, strict=True)), []).append(name)
    made = tuple(Form(tuple(names), tuple(tuple(found[name].values()) for name in names)) for names in kinds.values())
    taken = {place for form in made for places in form.places for place in places}
    return made, tuple(place for place in range(layout.size) if place not in taken)


class PiecewiseLinear(nn.Module):
    """Turns one-hot rows into rows in which a number has a hat function at each of its knots beside itself.

    A number with steps has a knot at each of them, up to 4 · ``knots``; other numbers have ``knots``, evenly from 0 to 1. Between two
    knots both hats are partly up, so that the row is continuous and has a gradient, on a knot the mean of both sides'. Switches and
    categories stay as they are.

    Args:
        layout: of the presets.
        knots: of a number without steps.
    """

    below: Tensor
    at: Tensor
    above: Tensor
    scalar: Tensor

    def __init__(self, layout: Layout, knots: int) -> None:
        super().__init__()
        self.columns_of: dict[int, list[int]] = {place: [number] for number, place in enumerate(layout.scalar)}
        """Columns of a row that belong to a parameter, by its place."""
        scalar: list[int] = []
        hats: list[tuple[float, float, float]] = []
        for number, place in enumerate(layout.scalar):
            used = layout.spec.used[place]
            own = used.allowed if 1 < used.count <= 4 * knots else tuple(step / (knots - 1) for step in range(knots))
            own = () if used.kind == "bin" else own
            ends = (-math.inf, *own, math.inf)  # outside of the outermost knots their hats stay up
            self.columns_of[place] += range(len(layout.scalar) + len(hats), len(layout.scalar) + len(hats) + len(own))
            scalar += [number] * len(own)
            hats += list(zip(ends[:-2], own, ends[2:], strict=True))
        width = len(layout.scalar) + len(hats)
        for place, offset, count in zip(layout.categorical, layout.offsets, layout.cardinalities, strict=True):
            self.columns_of[place] = list(range(width + offset, width + offset + count))
        self.scalars, self.width = len(layout.scalar), width + layout.categories
        self.register_buffer("scalar", torch.tensor(scalar, dtype=torch.long), persistent=False)
        for name, values in zip(("below", "at", "above"), torch.tensor(hats).reshape(-1, 3).unbind(1), strict=True):
            self.register_buffer(name, values.contiguous(), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Return [B, width] of one-hot or relaxed rows [B, layout.width]."""
        scalars, categories = rows[:, : self.scalars], rows[:, self.scalars :]
        value = scalars[:, self.scalar]
        rising, falling = 1 - (self.at - value) / (self.at - self.below), 1 - (value - self.at) / (self.above - self.at)
        hats = torch.maximum(torch.minimum(rising, falling), value.new_zeros(()))  # both sides share the gradient of a tie
        return torch.cat([2 * scalars - 1, hats, categories], 1)


class ModuleTokens(Representation):
    """A learned CLS, two tokens of the parameters that belong to no module, and one token per module; see the top of this file.

    The parameters that belong to no module also add to every module's token: an FM algorithm says what each operator is for. A synthesiser
    whose parameters' names tell of no modules gets the two tokens alone.

    Args:
        layout: of the presets.
        token: features d of a token.
        hidden: width of the networks that make tokens of parameters.
        knots: of a number without steps.
        cls: put a learned token in front.
    """

    def __init__(self, layout: Layout, token: int, hidden: int, knots: int, cls: bool = True) -> None:
        super().__init__(layout)
        found, rest = forms(layout)
        self.encoding = PiecewiseLinear(layout, knots)
        self.makers = nn.ModuleList()
        for number, form in enumerate(found):
            columns = [[column for place in places for column in self.encoding.columns_of[place]] for places in form.places]
            self.register_buffer(f"index_{number}", torch.tensor(columns), persistent=False)
            self.makers.append(_maker(len(columns[0]), hidden, token))
        modules = sum(len(form.names) for form in found)
        self.place = nn.Parameter(torch.empty(modules, token)) if modules else None
        self.cls = nn.Parameter(torch.empty(token)) if cls else None
        for part in (self.place, self.cls):
            if part is not None:
                nn.init.trunc_normal_(part, std=0.02, a=-0.04, b=0.04)
        self.token = token
        self.rest: nn.Sequential | None = None
        self.casting: nn.Linear | None = None
        if rest:
            columns_of_rest = [column for place in rest for column in self.encoding.columns_of[place]]
            self.register_buffer("index_rest", torch.tensor(columns_of_rest), persistent=False)
            self.rest = _maker(len(columns_of_rest), hidden, REST_TOKENS * token)
        if rest and modules:
            self.casting = nn.Linear(len(columns_of_rest), modules * token)
            nn.init.normal_(self.casting.weight, std=0.02)
            nn.init.zeros_(self.casting.bias)
        self.shape = (modules + REST_TOKENS * bool(rest) + cls, token)

    def forward(self, presets: Tensor) -> Tensor:
        """See :class:`Representation`."""
        return self.relaxed(self.columns.one_hot(presets))

    def relaxed(self, presets: Tensor) -> Tensor:
        """See :class:`Representation`."""
        self.columns._check(presets, self.columns.width)
        row = self.encoding(presets)
        parts = [] if self.cls is None else [self.cls.expand(len(row), 1, -1)]
        given = None if self.rest is None else row[:, self.get_buffer("index_rest")]
        if self.rest is not None:
            parts.append(self.rest(given).unflatten(1, (REST_TOKENS, self.token)))
        if self.place is not None:
            modules = torch.cat(list(self._modules_of(row)), 1) + self.place
            parts.append(modules if self.casting is None else modules + self.casting(given).unflatten(1, (-1, self.token)))
        return torch.cat(parts, 1)

    def _modules_of(self, row: Tensor) -> Iterator[Tensor]:
        """Yield the tokens [B, modules of a form, d] of each form."""
        for number, maker in enumerate(self.makers):
            yield maker(row[:, self.get_buffer(f"index_{number}")])


def _maker(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return what makes tokens of encoded parameters."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, outputs))
