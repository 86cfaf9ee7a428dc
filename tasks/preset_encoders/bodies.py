"""What turns a representation into features for the last linear layer: MLP, highway, residual, recurrent, Transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import InvalidValueError
from tasks.preset_encoders.representations import begin_gru, final_states

GATE_BIAS = -1.0
"""Of a highway block's gate: it begins by passing most of its input on (Srivastava et al., 2015)."""
TRANSFORMER_SD = 0.02


def linear(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    """Return a linear layer with Kaiming's weights for ReLU (He et al., 2015) and no bias to begin with."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def norm(kind: str, features: int) -> nn.Module:
    """Return a batch or layer normalisation."""
    return nn.BatchNorm1d(features) if kind == "batch" else nn.LayerNorm(features)


class PlainBlock(nn.Sequential):
    """Linear (no bias), normalisation, ReLU, dropout: H of a highway block, half a block of the MLP."""

    def __init__(self, inputs: int, outputs: int, kind: str, dropout: float) -> None:
        super().__init__(linear(inputs, outputs, bias=False), norm(kind, outputs), nn.ReLU(), nn.Dropout(dropout))


class HighwayBlock(nn.Module):
    """T(x) · H(x) + (1 − T(x)) · x with a gate T = sigmoid(linear) (Srivastava et al., 2015); H alone where the width changes."""

    def __init__(self, inputs: int, outputs: int, kind: str, dropout: float) -> None:
        super().__init__()
        self.plain = PlainBlock(inputs, outputs, kind, dropout)
        self.gate = nn.Linear(inputs, outputs) if inputs == outputs else None
        if self.gate is not None:
            nn.init.xavier_uniform_(self.gate.weight)
            nn.init.constant_(self.gate.bias, GATE_BIAS)

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, outputs] of [B, inputs]."""
        made: Tensor = self.plain(features)
        return made if self.gate is None else torch.lerp(features, made, torch.sigmoid(self.gate(features)))


class ResidualBlock(nn.Module):
    """A(x + D(N L D A N L x)) with L linear, N normalisation, A ReLU, D dropout; without x where the width changes."""

    def __init__(self, inputs: int, outputs: int, kind: str, dropout: float) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            PlainBlock(inputs, outputs, kind, dropout), linear(outputs, outputs, bias=False), norm(kind, outputs), nn.Dropout(dropout)
        )
        self.skips = inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, outputs] of [B, inputs]."""
        made: Tensor = self.branch(features)
        return torch.relu(features + made if self.skips else made)


class MLP(nn.Sequential):
    """Blocks of two plain layers each; features of any shape are flattened first."""

    def __init__(self, inputs: int, hidden: int, blocks: int, kind: str, dropout: float) -> None:
        widths = [inputs, *[hidden] * (2 * blocks)]
        super().__init__(*[PlainBlock(before, hidden, kind, dropout) for before in widths[:-1]])


class Stack(nn.Sequential):
    """Highway or residual blocks, the first of which changes the width."""

    def __init__(self, block: type[nn.Module], inputs: int, hidden: int, blocks: int, kind: str, dropout: float) -> None:
        super().__init__(*[block(hidden if number else inputs, hidden, kind, dropout) for number in range(blocks)])


class Recurrent(nn.Module):
    """A bidirectional GRU over a preset's numbers, one at each step; then linear, ReLU."""

    def __init__(self, hidden: int, layers: int) -> None:
        super().__init__()
        self.gru = nn.GRU(1, hidden, layers, batch_first=True, bidirectional=True)
        begin_gru(self.gru)
        self.head = nn.Sequential(linear(2 * hidden, hidden), nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, hidden] of [B, numbers]."""
        found: Tensor = self.head(final_states(self.gru, features[..., None]))
        return found


class TransformerLayer(nn.Module):
    """A pre-norm encoder layer (Vaswani et al., 2017; Xiong et al., 2020): x + attention(N x), then x + feed-forward(N x), with ReLU."""

    def __init__(self, features: int, heads: int, factor: float, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout, inner = heads, dropout, round(features * factor)
        self.norm, self.ask, self.know, self.join = (
            nn.LayerNorm(features), nn.Linear(features, features), nn.Linear(features, 2 * features), nn.Linear(features, features)
        )  # fmt: skip
        self.forward_norm = nn.LayerNorm(features)
        self.feed_forward = nn.Sequential(
            nn.Linear(features, inner), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner, features), nn.Dropout(dropout)
        )

    def forward(self, tokens: Tensor, wanted: int | None = None) -> Tensor:
        """Return [B, wanted, features] of tokens [B, T, features].

        Args:
            tokens: all tokens; every one is attended to.
            wanted: how many tokens, from the first on, are worked out; the others are not needed after the last layer. None: all.
        """
        normal = self.norm(tokens)
        asked, known = self.ask(normal[:, :wanted]), self.know(normal)
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (asked, *known.chunk(2, 2)))
        share = self.dropout if self.training else 0.0
        seen = nn.functional.scaled_dot_product_attention(query, key, value, dropout_p=share)
        joined = nn.functional.dropout(self.join(seen.transpose(1, 2).flatten(2)), self.dropout, self.training)
        kept = tokens[:, :wanted] + joined
        found: Tensor = kept + self.feed_forward(self.forward_norm(kept))
        return found


class Transformer(nn.Module):
    """Encoder layers over tokens; then LayerNorm and ReLU of the CLS token, or of the mean over all tokens.

    Args:
        features: of a token.
        layers: number of encoder layers.
        heads: of attention; they divide the features.
        factor: width of the feed-forward part, as a multiple of the features.
        pooling: ``cls``, the first token; ``avg``, the mean over all tokens, for tokens without a CLS in front.
        dropout: share.
        init_sd: of the truncated normal numbers that weights begin with.
    """

    def __init__(
        self, features: int, layers: int, heads: int, factor: float, pooling: str, dropout: float, init_sd: float = TRANSFORMER_SD
    ) -> None:
        super().__init__()
        if features % heads:
            raise InvalidValueError("heads must divide the features", where="preset encoder.heads", allowed=f"a divisor of {features}",
                                    received=heads)  # fmt: skip
        self.layers = nn.ModuleList(TransformerLayer(features, heads, factor, dropout) for _ in range(layers))
        self.norm, self.pooling = nn.LayerNorm(features), pooling
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.trunc_normal_(part.weight, std=init_sd, a=-2 * init_sd, b=2 * init_sd)
                nn.init.zeros_(part.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return [B, features] of tokens [B, T, features]."""
        for number, layer in enumerate(self.layers, 1):
            last_of_cls = self.pooling == "cls" and number == len(self.layers)
            tokens = layer(tokens, 1 if last_of_cls else None)
        return torch.relu(self.norm(tokens[:, 0] if self.pooling == "cls" else tokens.mean(1)))
