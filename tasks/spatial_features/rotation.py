"""Rotation of FOA sound and of its labels together. Axes: x front, y left, z up; angles turn counter-clockwise, in degrees."""

from __future__ import annotations

import torch
from torch import Tensor

ORDER = (1, 2, 0)
"""Y, Z, X of the channels behind W as places of x, y, z."""


def matrices(yaw_deg: Tensor, pitch_deg: Tensor | None = None, roll_deg: Tensor | None = None) -> Tensor:
    """Return rotations [B, 3, 3] of vectors (x, y, z), the batched form of ``tasks.spatial.foa.rotation``: roll, then pitch, then yaw.

    A positive yaw turns the scene to the left, a positive pitch lifts its front, a positive roll its left side.
    """
    zeros = torch.zeros_like(yaw_deg)
    angles = [torch.deg2rad(zeros if one is None else one) for one in (yaw_deg, pitch_deg, roll_deg)]
    (cz, cy, cx), (sz, sy, sx) = [one.cos() for one in angles], [one.sin() for one in angles]
    one = torch.ones_like(zeros)
    about_z = torch.stack([cz, -sz, zeros, sz, cz, zeros, zeros, zeros, one], -1)
    about_y = torch.stack([cy, zeros, -sy, zeros, one, zeros, sy, zeros, cy], -1)
    about_x = torch.stack([one, zeros, zeros, zeros, cx, -sx, zeros, sx, cx], -1)
    turn = [part.reshape(*zeros.shape, 3, 3) for part in (about_z, about_y, about_x)]
    return turn[0] @ turn[1] @ turn[2]


def mirrors(flips: Tensor) -> Tensor:
    """Return matrices [B, 3, 3] that swap left and right where ``flips`` [B] is true."""
    signs = torch.ones(*flips.shape, 3, device=flips.device)
    signs[..., 1] = torch.where(flips, -1.0, 1.0)
    return torch.diag_embed(signs)


def rotate(foa: Tensor, turns: Tensor) -> Tensor:
    """Return FOA sound [B, 4, T] (W, Y, Z, X) turned by matrices [B, 3, 3]; W stays, so does all that is not a direction."""
    order = list(ORDER)
    as_channels = turns[..., order, :][..., :, order].to(foa)
    return torch.cat([foa[..., :1, :], as_channels @ foa[..., 1:, :]], -2)


def rotate_directions(azimuth_deg: Tensor, elevation_deg: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
    """Return (azimuth, elevation) in degrees [B] of directions turned by matrices [B, 3, 3]; azimuths lie in −180 … 180."""
    azimuth, elevation = torch.deg2rad(azimuth_deg), torch.deg2rad(elevation_deg)
    vectors = torch.stack([elevation.cos() * azimuth.cos(), elevation.cos() * azimuth.sin(), elevation.sin()], -1)
    x, y, z = (turns.to(vectors) @ vectors[..., None])[..., 0].unbind(-1)
    return torch.rad2deg(torch.atan2(y, x)), torch.rad2deg(torch.asin(z.clamp(-1.0, 1.0)))
