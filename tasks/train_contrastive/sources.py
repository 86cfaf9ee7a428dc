"""Where pairs come from: the synthesiser's endless stream, or two views of real clips. A pair hangs on its key and on nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from core import audio
from core.context import Context
from core.contract import to_dict
from core.dsp import mix_at_snr
from tasks.synthesiser.asked import pairs_of, synthesiser_of
from tasks.synthesiser.pairs import stream
from tasks.train_contrastive.clips import Clip, Clips, find
from tasks.train_contrastive.passes import Passes, Views
from tasks.train_contrastive.spec import Request, Settings
from tasks.train_contrastive.stored import Stored

RANK = 0
"""Of the synthesiser's stream, for every rank: each works on its part of the whole batch, whatever their number."""


class Source(Protocol):
    """What a training asks for."""

    digest: str
    """Of what the pairs are made from."""
    clips: int
    """Real clips trained on."""

    def keys(self, step: int, pairs: int) -> list[int]:
        """Return the keys of a step's whole batch."""

    def held_out(self, batch: int, pairs: int) -> list[int]:
        """Return the keys of one of the batches that are only looked at; fewer where there are no more."""

    def views(self, keys: list[int]) -> Views:
        """Return the views of pairs."""

    def groups(self, keys: list[int]) -> Tensor | None:
        """Return the number of the group that each pair is of [pairs]; None: every pair stands for itself."""

    def told(self, key: int) -> str:
        """Say in words what a pair is."""

    def identity(self, key: int) -> str:
        """Return what a pair's random choices hang on, besides the seed."""


class Synthesised:
    """Pairs of the synthesiser.

    Args:
        settings: synthesiser and perturbation.
        seed: of the stream.
        device: where sounds are rendered.
    """

    clips = 0

    def __init__(self, settings: Settings, seed: int, device: str) -> None:
        self.seed, self.device = seed, device
        self.synthesiser = synthesiser_of(settings)
        self.pairs = pairs_of(settings, self.synthesiser)
        self.digest = digest(*(f"{name}={to_dict(getattr(settings, name))}" for name in SYNTHESISED))

    def keys(self, step: int, pairs: int) -> list[int]:
        """See :class:`Source`."""
        return stream(self.seed, RANK, step, pairs)

    def held_out(self, batch: int, pairs: int) -> list[int]:
        """See :class:`Source`."""
        return stream(self.seed, RANK, batch, pairs, part="val")

    def groups(self, keys: list[int]) -> Tensor | None:
        """See :class:`Source`."""
        return None

    def told(self, key: int) -> str:
        """See :class:`Source`."""
        return "one sound, perturbed twice"

    def identity(self, key: int) -> str:
        """See :class:`Source`."""
        return str(key)

    @torch.no_grad()
    def views(self, keys: list[int]) -> Views:
        """See :class:`Source`."""
        made = self.pairs.batch(keys, self.device)
        return Views(made.first, made.second, made.saturation, {"drawn": made.u, "first": made.u1, "second": made.u2})

    def unusual(self) -> str:
        """Say how many of the sounds so far were silent or no numbers."""
        tally = self.synthesiser.tally
        return f"{tally.sounds} sounds rendered, {tally.silent} of them silent, {tally.not_finite} not finite"


SYNTHESISED = (
    "synth", "delta", "group_deltas", "frozen", "one_sided", "sampling", "filtered", "transients", "events", "sample_rate_hz",
    "duration_s", "control_rate_hz",
)  # fmt: skip
"""Settings that the synthesised pairs hang on."""


BACKGROUND_DB = (3.0, 25.0)
"""How far the stretch of another clip is below a view, by RMS."""


class Recorded(Passes):
    """Two views of real clips, every clip once a pass, in an order of each pass's own.

    The views are of one clip, or with ``positives=label`` of two clips of one label: the second of those that are trained on, or looked
    at, together with the first; where the label has no other clip there, of the same one.

    Args:
        found: the clips.
        settings: views and split.
        seed: of orders and stretches.
        context: for the log.
    """

    def __init__(self, found: Clips, settings: Settings, seed: int, context: Context) -> None:
        self.seed, self.settings = seed, settings
        ordered = sorted(found.clips, key=lambda clip: digest(seed, "split", clip.clip_id))
        wanted = max(1, min(len(ordered), round(settings.train_fraction * len(ordered))))
        self.train, self.rest = ordered[:wanted], ordered[wanted:]
        self.all, self.found, self.clips, self.digest = ordered, found, wanted, found.digest
        self.labels = sorted({clip.label for clip in ordered})
        self.of_label = [_by_label(part) for part in (self.train, self.rest)]
        if not self.rest:
            context.log(
                f"train_fraction {settings.train_fraction} of {len(ordered)} clips leaves none to look at; looking at training clips"
            )
        super().__init__(seed, [clip.clip_id for clip in ordered], wanted)

    def views(self, keys: list[int]) -> Views:
        """See :class:`Source`."""
        drawn = [self._heard(key % len(self.all), self.identity(key)) for key in keys]
        first, second = (torch.from_numpy(np.stack([pair[view] for pair in drawn])) for view in (0, 1))
        return Views(first, second)

    def groups(self, keys: list[int]) -> Tensor | None:
        """See :class:`Source`."""
        if self.settings.positives == "clip":
            return None
        return torch.tensor([self.labels.index(self.all[key % len(self.all)].label) for key in keys])

    def told(self, key: int) -> str:
        """See :class:`Source`."""
        if self.settings.positives == "clip":
            return "two views of one clip"
        return f"two clips of {self.all[key % len(self.all)].label.replace('_', ' ')}"

    def _heard(self, place: int, identity: str) -> tuple[audio.Samples, audio.Samples]:
        first, second = self._two(place, identity)
        return self._before_another(first, place, identity, 0), self._before_another(second, place, identity, 1)

    def _before_another(self, view: audio.Samples, place: int, identity: str, number: int) -> audio.Samples:
        """Return a view [samples], perhaps before a stretch of a clip that is trained on, or looked at, together with its own."""
        if not self.settings.background:
            return view
        rng = generator(self.seed, "background", identity, number)
        if rng.random() >= self.settings.background:
            return view
        there = self.train if place < len(self.train) else self.rest
        other, _ = two_views(self.found.read(there[int(rng.integers(len(there)))]), len(view), 1, False, rng)
        return mix_at_snr(view, other, rng.uniform(*BACKGROUND_DB)).astype(np.float32)

    def _two(self, place: int, identity: str) -> tuple[audio.Samples, audio.Samples]:
        settings, clip, rng = self.settings, self.all[place], generator(self.seed, "stretch", identity)
        samples = round(settings.duration_s * settings.sample_rate_hz)
        if settings.positives == "clip":
            return two_views(self.found.read(clip), samples, settings.layers, settings.temporal_jitter, rng)
        alike = self.of_label[place >= len(self.train)][clip.label]
        others = [one for one in alike if one.clip_id != clip.clip_id] or alike
        twin = others[int(rng.integers(len(others)))]
        first, second = (two_views(self.found.read(one), samples, settings.layers, False, rng)[0] for one in (clip, twin))
        return first, second


def _by_label(clips: Sequence[Clip]) -> dict[str, list[Clip]]:
    found: dict[str, list[Clip]] = {}
    for clip in clips:
        found.setdefault(clip.label, []).append(clip)
    return found


def two_views(
    sound: audio.Samples, samples: int, layers: int, jitter: bool, rng: np.random.Generator
) -> tuple[audio.Samples, audio.Samples]:
    """Return two stretches of a sound, both [samples].

    Args:
        sound: of any length; a short one is padded with silence at its end.
        samples: length of a stretch.
        layers: stretches that a view is the sum of, from different seconds of the sound while there are any; 1 leaves the level as it is.
        jitter: give each view places of its own; otherwise the views are the same.
        rng: where the places come from.
    """
    padded = audio.fit_length(sound, max(samples, len(sound)))
    most = len(padded) - samples  # a clip of just this length has one place, which is fine
    found = []
    for _ in range(2 if jitter else 1):
        if layers == 1:
            starts = np.array([rng.integers(most + 1)])
        else:
            slices = rng.permutation(len(padded) // samples)[:layers]
            starts = np.minimum(slices * samples + (rng.integers(samples) if jitter else 0), most)
        mixed = np.sum([padded[start : start + samples] for start in starts], axis=0, dtype=np.float32)
        found.append(mixed / max(1e-6, float(np.abs(mixed).max())) if layers > 1 else mixed)
    return found[0].astype(np.float32), found[-1].astype(np.float32)


def open_source(request: Request, context: Context) -> Source:
    """Return the request's source of pairs.

    Raises:
        InvalidValueError: no usable clips, clips that are not train clips, or too few pairs on disk.
    """
    if request.pairs:
        return Stored(request, context)
    if request.clips or request.folder:
        return Recorded(find(request, context), request.settings, request.seed, context)
    return Synthesised(request.settings, request.seed, context.device)


def digest(*parts: Any) -> str:
    """Return a SHA-256 over values as text."""
    return hashlib.sha256("\n".join(str(part) for part in parts).encode()).hexdigest()


def generator(*parts: Any) -> np.random.Generator:
    """Return a random generator that hangs on some values."""
    return np.random.default_rng(int(digest(*parts)[:32], 16))
