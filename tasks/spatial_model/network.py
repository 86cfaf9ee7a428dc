"""The whole model: sound and text to a space and a source embedding each, and physical quantities from the space embedding.

Modules are named as in DISSE (MIT licence, takamichi-lab/disentangle), so that its released checkpoint loads by name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tasks.spatial_model.intensity_branch import SpatialBranch
from tasks.spatial_model.sizes import Sizes
from tasks.spatial_model.source_branch import source_branch
from tasks.spatial_model.text import SPECIAL, TextEncoder, Tokenizer

SCALE_AT_START, LARGEST_SCALE = math.log(1 / 0.07), math.log(100.0)
"""Logarithms of the inverse temperature: CLIP's (Radford et al., 2021)."""
PARTS = ("htsat", "roberta", "spatial_branch")
"""What can be frozen."""


@dataclass(frozen=True)
class Heard:
    """What the model makes of sounds."""

    space: Tensor
    """[rows, 512], not of length 1."""
    source: Tensor
    """[rows, 512], not of length 1."""
    direction: Tensor
    """[rows, 3], a vector of any length, or [rows, 2] in radians."""
    quantities: Tensor
    """[rows, 3]: floor area, distance and T30, in standard deviations from the training rooms' mean."""


@dataclass(frozen=True)
class Read:
    """What the model makes of captions."""

    space: Tensor
    source: Tensor


class Regressor(nn.Module):
    """512 → 64 → ReLU → outputs."""

    def __init__(self, width: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, outputs)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return [rows, outputs]."""
        return self.fc2(torch.relu(self.fc1(vectors)))


class AudioEncoder(nn.Module):
    """Source branch and spatial branch side by side, 768 + 192 → 768 → ELU → 512."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.htsat = source_branch(sizes)
        self.spatial_branch = SpatialBranch(sizes)
        self.spatial_to_elsa = nn.Sequential(nn.ELU(), nn.Linear(sizes.attributes, sizes.attribute_width))
        both = sizes.attribute_width + self.htsat.width
        self.audio_projection = nn.Sequential(nn.Linear(both, sizes.shared_hidden), nn.ELU(), nn.Linear(sizes.shared_hidden, sizes.shared))

    def forward(self, active: Tensor, reactive: Tensor, omni: Tensor) -> Tensor:
        """Return shared features [rows, 512]."""
        attributes = self.spatial_branch(active, reactive)
        return self.audio_projection(torch.cat([self.spatial_to_elsa(attributes), self.htsat(omni)], 1))


class SpatialTextModel(nn.Module):
    """Two encoders and four heads.

    Args:
        sizes: how large.
        tokenizer: of the captions; one of words decides how many token embeddings there are.
    """

    def __init__(self, sizes: Sizes, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.sizes, self.tokenizer = sizes, tokenizer
        self.frozen: tuple[str, ...] = ()

        def head(width: int) -> nn.Sequential:
            return nn.Sequential(nn.ELU(), nn.Linear(sizes.shared, width))

        self.audio_encoder = AudioEncoder(sizes)
        self.audio_space_head, self.audio_source_head = head(sizes.space), head(sizes.source_width)
        self.text_encoder = TextEncoder(sizes, len(tokenizer.vocabulary) + SPECIAL if tokenizer.vocabulary else 0)
        self.text_space_head, self.text_source_head = head(sizes.space), head(sizes.source_width)
        self.logit_scale = nn.Parameter(torch.full((2,) if sizes.separate_scales else (), SCALE_AT_START))
        outputs = {"direction": sizes.direction_outputs, "area": 1, "distance": 1, "reverb": 1}
        for name, number in outputs.items():
            setattr(self, f"{name}_head", Regressor(sizes.space, sizes.regressor_hidden, number))

        if sizes.linear_gain:
            self._widen(sizes.linear_gain)

    def _widen(self, gain: float) -> None:
        """Draw the first weights of the linear layers outside of the towers anew; see :class:`Sizes`."""
        towers = {id(module) for name in ("htsat", "roberta") for module in self.part(name).modules()}
        for module in self.modules():
            if isinstance(module, nn.Linear) and id(module) not in towers:
                nn.init.normal_(module.weight, std=gain / math.sqrt(module.in_features))
                nn.init.zeros_(module.bias)

    def hear(self, active: Tensor, reactive: Tensor, omni: Tensor) -> Heard:
        """Encode sounds.

        Args:
            active: intensity [rows, 3, bins, frames], directions in the order Y, Z, X.
            reactive: the same of the imaginary part.
            omni: W [rows, samples].
        """
        shared = self.audio_encoder(active, reactive, omni)
        space = self.audio_space_head(shared)
        quantities = torch.cat([self.area_head(space), self.distance_head(space), self.reverb_head(space)], 1)
        return Heard(space, self.audio_source_head(shared), self.direction_head(space), quantities)

    def read(self, tokens: Tensor, mask: Tensor) -> Read:
        """Encode captions, given as token numbers and mask [rows, longest]."""
        shared = self.text_encoder(tokens, mask)
        return Read(self.text_space_head(shared), self.text_source_head(shared))

    def read_captions(self, captions: list[str]) -> Read:
        """Encode captions, given as text."""
        tokens, mask = self.tokenizer(captions)
        device = self.logit_scale.device
        return self.read(tokens.to(device), mask.to(device))

    def scales(self) -> tuple[Tensor, Tensor]:
        """Return the inverse temperatures of the space and of the source loss, at most 100."""
        scales = self.logit_scale.clamp(max=LARGEST_SCALE).exp()
        return (scales[0], scales[1]) if scales.ndim else (scales, scales)

    def freeze(self, parts: tuple[str, ...]) -> None:
        """Train these of :data:`PARTS` no longer, batch norm and dropout included, and the others again."""
        self.frozen = parts
        for name in PARTS:
            self.part(name).requires_grad_(name not in parts)
        self.train(self.training)

    def part(self, name: str) -> nn.Module:
        """Return one of :data:`PARTS`."""
        holder = self.text_encoder if name == "roberta" else self.audio_encoder
        module: nn.Module = getattr(holder, name)
        return module

    def train(self, mode: bool = True) -> SpatialTextModel:
        """Switch to training or evaluation; frozen parts stay in evaluation."""
        super().train(mode)
        for name in self.frozen:
            self.part(name).eval()
        return self


def weights(module: nn.Module) -> int:
    """Return how many weights there are."""
    return sum(part.numel() for part in module.parameters())
