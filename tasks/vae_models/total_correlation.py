"""The KL of codes in three parts (β-TCVAE, Chen et al., 2018): what codes tell about the clip, about each other, and of the prior.

With q(z) the mean of q(z|x) over the data: mutual information E log q(z|x)/q(z), total correlation E log q(z)/∏_j q(z_j), dimension-wise
KL E log ∏_j q(z_j)/p(z). Their sum is E log q(z|x)/p(z), the KL, whatever estimates stand for q(z) and q(z_j).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import InvalidValueError
from tasks.vae_models.gaussians import log_density, log_prior

ESTIMATORS = ("mss", "mws", "whole")


@dataclass(frozen=True)
class Parts:
    """Means over a batch, in nats."""

    mutual_information: Tensor
    total_correlation: Tensor
    dimension_kl: Tensor


def log_weights(batch: int, dataset: int, estimator: str, legacy: bool = False) -> Tensor:
    """Return the logarithms of what the q(z_i|x_m) of a batch count in q(z_i) [batch (i), batch (m)].

    ``mss``, minibatch-stratified sampling (Chen et al., 2018, appendix C.2), with M + 1 rows in the batch and N in the data set: the row's
    own density counts 1/N, one other (N − M)/(N M), the remaining M − 1 each 1/M. Over random batches the sum's mean is q(z_i).
    ``mws``, minibatch-weighted sampling (appendix C.1): each 1/(N (M + 1)), whose logarithm is a lower bound up to constants.
    ``whole``: the batch is the data set, each 1/(M + 1), exact.

    Args:
        batch: rows in the batch, M + 1.
        dataset: rows N in the data set that batches are drawn from.
        estimator: one of the above.
        legacy: fill columns 0 and 1 where the published code means the diagonal and the entry beside it (``mss`` only).

    Raises:
        InvalidValueError: an unknown estimator, or a batch larger than the data set.
    """
    if estimator not in ESTIMATORS:
        raise InvalidValueError("no such estimator", where="total_correlation", allowed=ESTIMATORS, received=estimator)
    if batch > dataset and estimator != "whole":
        raise InvalidValueError("a batch larger than the data set", where="total_correlation", allowed=f"≤ {dataset}", received=batch)
    others = batch - 1
    if estimator == "whole" or others == 0:
        return torch.full((batch, batch), -math.log(batch), dtype=torch.float64)  # of one row q(z|x) is all there is
    if estimator == "mws":
        return torch.full((batch, batch), -math.log(dataset * batch), dtype=torch.float64)
    weights = torch.full((batch, batch), 1 / others, dtype=torch.float64)
    stratum = (dataset - others) / (dataset * others)
    row = torch.arange(batch)
    if legacy:
        weights[:, 0], weights[:, 1], weights[others - 1, 0] = 1 / dataset, stratum, stratum
    else:
        weights[row, row], weights[row, (row + 1) % batch] = 1 / dataset, stratum
    return weights.log()


def decompose(codes: Tensor, mean: Tensor, log_variance: Tensor, dataset: int = 0, estimator: str = "whole", legacy: bool = False) -> Parts:
    """Return the three parts of the KL.

    Args:
        codes: drawn from q(z|x) [batch, D].
        mean: of q(z|x) [batch, D].
        log_variance: of q(z|x) [batch, D].
        dataset: rows in the data set; not looked at for ``whole``.
        estimator: see :func:`log_weights`.
        legacy: also add the weights once per code instead of once to log q(z), as the published code does.
    """
    batch, width = codes.shape
    densities = log_density(codes[:, None], mean[None], log_variance[None])  # [i, m, j]
    weights = log_weights(batch, dataset or batch, estimator, legacy).to(codes)
    joint = torch.logsumexp(densities.sum(2) + weights * (width if legacy else 1), 1)
    product = torch.logsumexp(densities + weights[:, :, None], 1).sum(1)
    conditional, prior = log_density(codes, mean, log_variance).sum(1), log_prior(codes).sum(1)
    return Parts((conditional - joint).mean(), (joint - product).mean(), (product - prior).mean())
