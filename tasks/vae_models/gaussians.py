"""Densities and divergences of Gaussian codes with diagonal covariance, in nats."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOG_TWO_PI = math.log(2 * math.pi)
ACTIVE_VARIANCE = 0.01
"""A code is active when its mean varies by more than this over the clips (Burda et al., 2016, A_u)."""


def log_density(codes: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return log N(z; μ, σ²) number by number, in the shape that the arguments broadcast to."""
    return -0.5 * (LOG_TWO_PI + log_variance + (codes - mean) ** 2 * torch.exp(-log_variance))


def log_prior(codes: Tensor) -> Tensor:
    """Return log N(z; 0, 1) number by number, in the codes' shape."""
    return -0.5 * (LOG_TWO_PI + codes**2)


def kl_to_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(q(z_j|x) ‖ N(0, 1)) = ½ (μ² + σ² − log σ² − 1) of each clip and code [clips, D] (Kingma and Welling, 2014, appendix B)."""
    return 0.5 * (mean**2 + log_variance.exp() - log_variance - 1)


def active_units(mean: Tensor) -> int:
    """Return how many of the codes are active, of means [clips, D]: the variance of μ_j over the clips is above 0.01."""
    return int((mean.double().var(0, correction=0) > ACTIVE_VARIANCE).sum())
