"""How a preset enters a network: raw values, one-hot, tokens, tokens through a GRU; each from exact presets and from relaxed ones.

An exact preset [used] has the raw value of each number and switch and the index of each category. A *relaxed* preset [width] is a
one-hot row in which each block may be any distribution over the categories: first all numbers and switches, then the blocks. What is
looked up by index for exact presets is averaged by the distribution for relaxed ones (a soft lookup), so that gradients reach
categories and switches, which rounding and arg-max would stop. No input is written to.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from core.errors import InvalidValueError
from tasks.presets.layout import Layout

BASE = 10_000.0
"""Of the sinusoidal position code (Vaswani et al., 2017)."""
TOKEN_SD = 0.02
"""Of the truncated normal numbers that tokens begin with, as published."""


class Columns(nn.Module):
    """Takes presets apart into scalars (numbers, switches) and categories. Buffers are worked out from the layout and not saved.

    Args:
        layout: of the presets.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.size, self.width, self.scalars, self.categories = layout.size, layout.width, len(layout.scalar), layout.categories
        places = [*layout.scalar, *layout.categorical]
        order = sorted(range(len(places)), key=places.__getitem__)
        blocks = [block for block, count in enumerate(layout.cardinalities) for _ in range(count)]
        member = torch.zeros(len(layout.categorical), layout.categories)
        member[blocks, range(layout.categories)] = 1.0
        kept = {
            "scalar": torch.tensor(layout.scalar, dtype=torch.long), "categorical": torch.tensor(layout.categorical, dtype=torch.long),
            "offsets": torch.tensor(layout.offsets, dtype=torch.long), "order": torch.tensor(order, dtype=torch.long), "member": member,
        }  # fmt: skip
        for name, value in kept.items():
            self.register_buffer(name, value, persistent=False)

    def exact(self, presets: Tensor) -> tuple[Tensor, Tensor]:
        """Return scalars [B, S] and, for each category, its row in a table of all categories [B, K] of presets [B, used].

        Raises:
            InvalidValueError: presets of another shape.
        """
        self._check(presets, self.size)
        return presets[:, self.scalar], presets[:, self.categorical].round().long() + self.offsets

    def relaxed(self, presets: Tensor) -> tuple[Tensor, Tensor]:
        """Return scalars [B, S] and one distribution for each category, zero outside its block [B, K, all categories], of [B, width].

        Raises:
            InvalidValueError: presets of another shape.
        """
        self._check(presets, self.width)
        return presets[:, : self.scalars], presets[:, None, self.scalars :] * self.member

    def one_hot(self, presets: Tensor) -> Tensor:
        """Return the relaxed form [B, width] of exact presets [B, used]."""
        scalars, rows = self.exact(presets)
        blocks = torch.zeros(len(presets), self.categories, dtype=presets.dtype, device=presets.device)
        return torch.cat([scalars, blocks.scatter(1, rows, 1.0)], 1)

    def _check(self, presets: Tensor, wanted: int) -> None:
        if presets.ndim != 2 or presets.shape[1] != wanted:
            hint = f"an exact preset has {self.size} values, a relaxed one {self.width}"
            raise InvalidValueError("presets of another shape", where="preset encoder", allowed=f"[B, {wanted}]",
                                    received=tuple(presets.shape), hint=hint)  # fmt: skip


class Representation(nn.Module):
    """What a body is fed with. ``shape`` is that of one preset's representation: (features,) or (tokens, features)."""

    shape: tuple[int, ...]

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.columns = Columns(layout)

    def forward(self, presets: Tensor) -> Tensor:
        """Return [B, *shape] of exact presets [B, used]."""
        raise NotImplementedError

    def relaxed(self, presets: Tensor) -> Tensor:
        """Return [B, *shape] of relaxed presets [B, width]."""
        raise NotImplementedError


class RawParameters(Representation):
    """Raw values: a category is replaced by its exact value in [0, 1], a distribution by the mean of the values."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        values = torch.tensor([value for block in layout.values for value in block])
        self.register_buffer("values", values, persistent=False)
        self.shape = (layout.size,)

    def forward(self, presets: Tensor) -> Tensor:
        """See :class:`Representation`."""
        scalars, rows = self.columns.exact(presets)
        return torch.cat([scalars, self.values[rows]], 1)[:, self.columns.order]

    def relaxed(self, presets: Tensor) -> Tensor:
        """See :class:`Representation`."""
        scalars, shares = self.columns.relaxed(presets)
        return torch.cat([scalars, shares @ self.values], 1)[:, self.columns.order]


class OneHot(Representation):
    """Numbers and switches, then one-hot blocks: the relaxed form itself."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.shape = (layout.width,)

    def forward(self, presets: Tensor) -> Tensor:
        """See :class:`Representation`."""
        return self.columns.one_hot(presets)

    def relaxed(self, presets: Tensor) -> Tensor:
        """See :class:`Representation`."""
        self.columns._check(presets, self.columns.width)
        return presets


class Tokens(Representation):
    """One token per parameter, in the parameters' order: a learned vector times the value, or a row of one table of all categories.

    After FT-Transformer (Gorishniy et al., 2021), without its bias.

    Args:
        layout: of the presets.
        token: features d of a token; even where there is a position code.
        cls: put a learned token in front.
        position: add the sinusoidal code.
        token_sd: of the truncated normal numbers that tokens begin with.
    """

    def __init__(self, layout: Layout, token: int, cls: bool = False, position: bool = False, token_sd: float = TOKEN_SD) -> None:
        super().__init__(layout)
        self.vectors = nn.Parameter(torch.empty(len(layout.scalar), token))
        self.table = nn.Parameter(torch.empty(layout.categories, token))
        self.cls = nn.Parameter(torch.empty(token)) if cls else None
        self.shape = (layout.size + cls, token)
        self.register_buffer("position", sinusoids(*self.shape) if position else None, persistent=False)
        for part in (self.vectors, self.table, *([] if self.cls is None else [self.cls])):
            nn.init.trunc_normal_(part, std=token_sd, a=-2 * token_sd, b=2 * token_sd)

    def forward(self, presets: Tensor) -> Tensor:
        """See :class:`Representation`."""
        scalars, rows = self.columns.exact(presets)
        return self._arranged(scalars, nn.functional.embedding(rows, self.table))

    def relaxed(self, presets: Tensor) -> Tensor:
        """See :class:`Representation`."""
        scalars, shares = self.columns.relaxed(presets)
        return self._arranged(scalars, shares @ self.table)

    def _arranged(self, scalars: Tensor, categories: Tensor) -> Tensor:
        tokens = torch.cat([scalars[..., None] * self.vectors, categories], 1)[:, self.columns.order]
        if self.cls is not None:
            tokens = torch.cat([self.cls.expand(len(tokens), 1, -1), tokens], 1)
        return tokens if self.position is None else tokens + self.position


class RecurrentTokens(Representation):
    """Tokens through a bidirectional GRU; the last layer's two final states, joined (after SPINVAE, Le Vaillant & Dutoit, 2023).

    Args:
        layout: of the presets.
        token: features d of a token.
        factor: features of the result, as a multiple of d; half of them from each direction.
        layers: of the GRU.
        norm: normalise the tokens first.
        token_sd: of the numbers that tokens begin with.
    """

    def __init__(
        self, layout: Layout, token: int, factor: float = 1.0, layers: int = 1, norm: bool = False, token_sd: float = TOKEN_SD
    ) -> None:
        super().__init__(layout)
        self.tokens = Tokens(layout, token, position=True, token_sd=token_sd)
        self.norm = nn.LayerNorm(token) if norm else nn.Identity()
        hidden = round(token * factor / 2)
        self.gru = nn.GRU(token, hidden, layers, batch_first=True, bidirectional=True)
        self.shape = (2 * hidden,)
        begin_gru(self.gru)

    def forward(self, presets: Tensor) -> Tensor:
        """See :class:`Representation`."""
        return self._read(self.tokens(presets))

    def relaxed(self, presets: Tensor) -> Tensor:
        """See :class:`Representation`."""
        return self._read(self.tokens.relaxed(presets))

    def _read(self, tokens: Tensor) -> Tensor:
        return final_states(self.gru, self.norm(tokens))


def final_states(gru: nn.GRU, sequence: Tensor) -> Tensor:
    """Return the final states of both directions of the last layer, joined [B, 2 · hidden], of a sequence [B, T, features]."""
    _, states = gru(sequence)  # [layers · 2, B, hidden], the last layer's directions last
    return torch.cat([states[-2], states[-1]], 1)


def begin_gru(gru: nn.GRU) -> None:
    """Set a GRU's first weights: input weights Xavier, recurrent ones orthogonal, biases 0; each of the three gates by itself."""
    for name, part in gru.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(part)
            continue
        for gate in part.data.chunk(3):
            (nn.init.xavier_uniform_ if name.startswith("weight_ih") else nn.init.orthogonal_)(gate)


def sinusoids(length: int, features: int) -> Tensor:
    """Return the position code [length, features]: sines in the even, cosines in the odd places (Vaswani et al., 2017, 3.5).

    Raises:
        InvalidValueError: an odd number of features.
    """
    if features % 2:
        raise InvalidValueError(
            "sines and cosines come in pairs", where="preset encoder.token", allowed="an even number", received=features
        )
    rates = torch.exp(torch.arange(0, features, 2) * (-math.log(BASE) / features))
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)
