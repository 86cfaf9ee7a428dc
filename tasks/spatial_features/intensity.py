"""Intensity vectors of FOA sound: where the energy goes (active) and where it swings (reactive), per time and frequency."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from core.errors import InvalidValueError
from tasks.spatial_features.frames import BlockResample, spectra

RATE_HZ, N_FFT, HOP, FLOOR = 16_000, 400, 100, 1e-6
Norm = Literal["active", "energy"]


class Intensity(nn.Module):
    """Active and reactive intensity, Re and Im of conj(W)·(Y, Z, X), of FOA sound (ACN order, SN3D).

    ELSA's equation 2 prints Re for both; the reactive one is the imaginary part. 16 kHz, Hann windows of 400 every 100 samples, centred.

    Args:
        sample_rate_hz: of the sounds; they are resampled to 16 kHz as torchaudio does with its defaults.
        norm: ``active`` divides both by ‖active‖ over the three components where that is above the floor and leaves them raw elsewhere
            (DISSE); the reactive part is then unbounded. ``energy`` divides by 1e-8 + |W|² + (|X|² + |Y|² + |Z|²)/3 (DCASE's baseline),
            which bounds both by √3/2.
        floor: of ‖active‖, for ``active``.
        relative_floor: instead of that floor, a share of the clip's largest ‖active‖; what lies below is 0. A fixed floor lets the quiet
            half of a clip enter raw, a relative one hangs on no level. 0: off.
        mels: mel bands that the 201 frequencies are gathered in, 0 for none.
        clip: largest length of a reactive vector, longer ones are shortened; 0 for no limit.
        rate_hz: the rate of the features.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self, sample_rate_hz: int = 48_000, norm: Norm = "active", floor: float = FLOOR, relative_floor: float = 0.0, mels: int = 0,
        clip: float = 0.0, rate_hz: int = RATE_HZ,
    ) -> None:  # fmt: skip
        super().__init__()
        if norm not in ("active", "energy"):
            raise InvalidValueError("no such norm", where="intensity.norm", allowed=("active", "energy"), received=norm)
        self.norm, self.floor, self.relative_floor, self.mels, self.clip = norm, floor, relative_floor, mels, clip
        self.sample_rate_hz, self.rate_hz = sample_rate_hz, rate_hz
        self.resample = BlockResample(sample_rate_hz, rate_hz)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        bands = melscale_fbanks(N_FFT // 2 + 1, 0.0, rate_hz / 2, mels, rate_hz, norm="slaney") if mels else torch.zeros(0)
        self.register_buffer("filters", bands, persistent=False)

    def forward(self, foa: Tensor) -> tuple[Tensor, Tensor]:
        """Return (active, reactive), each [..., 3, 201 or mels, frames] in the order Y, Z, X, of FOA sound [..., 4, T].

        Raises:
            InvalidValueError: not four channels.
        """
        if foa.ndim < 2 or foa.shape[-2] != 4:
            raise InvalidValueError(
                "no FOA sound", where="intensity", allowed="[…, 4, samples] in the order W, Y, Z, X", received=foa.shape
            )
        flat = foa.reshape(-1, *foa.shape[-2:])
        bins, frames = self.mels or N_FFT // 2 + 1, -(-foa.shape[-1] * self.rate_hz // self.sample_rate_hz) // HOP + 1
        active, reactive = (torch.empty(len(flat), 3, bins, frames, device=foa.device) for _ in range(2))
        # One scene at a time stays in a CPU's cache, which is worth a factor of two.
        together = 1 if foa.device.type == "cpu" else len(flat)
        with torch.autocast(foa.device.type, enabled=False):  # products of quiet bins underflow in half precision
            for at in range(0, len(flat), together):
                vectors = self._vectors(spectra(self.resample(flat[at : at + together].float()), self.window, HOP))
                active[at : at + together], reactive[at : at + together] = (one.transpose(-1, -2) for one in vectors)
        return active.reshape(*foa.shape[:-2], 3, bins, frames), reactive.reshape(*foa.shape[:-2], 3, bins, frames)

    def _vectors(self, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        """Return both vectors [rows, 3, frames, bins] of spectra [rows, 4, frames, bins]."""
        omni, dipoles = spectrum[:, :1], spectrum[:, 1:]
        product = torch.view_as_real(omni.conj() * dipoles)
        active, reactive = product[..., 0], product[..., 1]
        scale = self._by_active(active) if self.norm == "active" else self._by_energy(omni, dipoles)
        active, reactive = active * scale, reactive * scale
        if self.clip:
            reactive = reactive * (self.clip / _lengths(reactive).clamp(min=1e-12)).clamp(max=1.0)
        return (active @ self.filters, reactive @ self.filters) if self.mels else (active, reactive)

    def _by_active(self, active: Tensor) -> Tensor:
        lengths = _lengths(active)
        if not self.relative_floor:
            return torch.where(lengths > self.floor, 1.0 / lengths.clamp(min=self.floor), 1.0)
        quiet = lengths <= self.relative_floor * lengths.amax((-2, -1), keepdim=True)
        return torch.where(quiet, 0.0, 1.0 / lengths.clamp(min=1e-30))

    @staticmethod
    def _by_energy(omni: Tensor, dipoles: Tensor) -> Tensor:
        power = torch.view_as_real(omni).square().sum(-1)
        return 1.0 / (power + torch.view_as_real(dipoles).square().sum(-1).sum(1, keepdim=True) / 3.0 + 1e-8)


def _lengths(vectors: Tensor) -> Tensor:
    """Return ‖·‖ over the components of [rows, 3, …], kept as an axis; ``linalg.vector_norm`` takes fifteen times as long here."""
    return vectors.square().sum(1, keepdim=True).sqrt()
