"""A scene: several sounds of one synthesiser in one clip, each with a time and a gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from tasks.synthesiser import draws
from tasks.synthesiser.parameters import Parameter
from tasks.synthesiser.synthesiser import Synthesiser


class Scene(Synthesiser):
    """Events, each a sound of the inner synthesiser that begins at its onset.

    Parameters are those of event 1, of event 2 and so on, each with ``onset`` (s) and ``gain`` before the sound's own. An onset is rounded
    to samples and has no derivative.
    """

    def __init__(self, inner: Synthesiser, events: int, compat: Sequence[str] = ()) -> None:
        self.inner, self.events = inner, events
        own = [Parameter("onset", "scene", 0.0, 0.8 * inner.duration_s), Parameter("gain", "scene", 0.0, 1.0), *inner.parameters]
        every = [replace(one, name=f"event_{number}.{one.name}") for number in range(1, events + 1) for one in own]
        super().__init__(inner.name, every, inner.duration_s, inner.sample_rate_hz, compat)

    @property
    def samples(self) -> int:
        """Samples of one scene."""
        return self.inner.samples

    def prepare(self, device: torch.device) -> None:
        """Make what the inner synthesiser's sounds share."""
        self.inner.prepare(device)

    def mixed(self, u: torch.Tensor, seeds: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Make scenes [B, T]; a given noise is that of every event."""
        split = u.reshape(len(u) * self.events, -1)
        placed = self.to_human(u).reshape(len(split), -1)
        own = torch.stack([draws.derived(seeds, draws.EVENTS + 16 * number) for number in range(self.events)], dim=1).reshape(-1)
        if "same_noise" in self.compat:
            own = torch.zeros_like(own)
        shared = None if noise is None else noise.repeat_interleave(self.events, dim=0)
        sounds = self.inner.mixed(split[:, 2:], own, shared)
        # Each event at most ±1, so that gains say how loud events are beside each other.
        sounds = sounds * (placed[:, 1] / sounds.abs().amax(1).clamp(min=1))[:, None]
        begins = (placed[:, 0] * self.sample_rate_hz).round().long()[:, None]
        at = torch.arange(self.samples, device=u.device) - begins
        moved = torch.where(at >= 0, sounds.gather(1, at.clamp(min=0)), 0.0).view(len(u), self.events, -1)
        total = moved[:, 0]
        for number in range(1, self.events):
            total = total + moved[:, number]
        return total
