"""What each method minimises, by name; every objective has the face of :class:`tasks.vae_models.objectives.base.Objective`."""

from tasks.vae_models.objectives.base import Objective, Plan
from tasks.vae_models.objectives.covariance import DipVaeII
from tasks.vae_models.objectives.elbo import AnnealedVae, BetaVae
from tasks.vae_models.objectives.factor import FactorVae
from tasks.vae_models.objectives.tcvae import BetaTcVae

OBJECTIVES: dict[str, type[Objective]] = {
    "vae": BetaVae,
    "beta_vae": BetaVae,
    "beta_tcvae": BetaTcVae,
    "factor_vae": FactorVae,
    "dip_vae_ii": DipVaeII,
    "annealed_vae": AnnealedVae,
}
"""Objective by method; a VAE is a β-VAE whose plan says β = 1."""


def build(plan: Plan) -> Objective:
    """Return the objective of a plan's method."""
    return OBJECTIVES[plan.method](plan)
