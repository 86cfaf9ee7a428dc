"""What a trial may try: the published spaces, and small ones for two cores. All of a model's entries are tried in every trial."""

from __future__ import annotations

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

OPTIMISER = ("learning_rate", "least_factor", "beta_1", "beta_2", "eps")
TOKEN_MODELS = ("tfm", "tfm_modules")
"""Have narrower ranges of the optimiser's numbers."""
Space = dict[str, BaseDistribution]


def optimiser(model: str, preset: str) -> Space:
    """Return the ranges of the optimiser's numbers. ``least_factor`` is the rate at the end, by the rate."""
    transformer = model in TOKEN_MODELS
    low, high = (1e-5, 8e-3) if transformer else (1e-4, 2e-2)
    if preset == "cpu" and transformer:
        low = 2e-4  # a tenth of the steps: slower rates get nowhere
    return {
        "learning_rate": FloatDistribution(low, high, log=True), "least_factor": FloatDistribution(1e-6, 1.0, log=True),
        "beta_1": FloatDistribution(0.85 if transformer else 0.75, 0.95), "beta_2": FloatDistribution(0.95 if transformer else 0.85, 0.999),
        "eps": FloatDistribution(1e-10, 1e-6 if transformer else 1e-4, log=True),
    }  # fmt: skip


PAPER: dict[str, Space] = {
    "mlp_oh": {"blocks": IntDistribution(1, 2), "hidden": IntDistribution(512, 3072, step=256)},
    "hn_oh": {"blocks": IntDistribution(2, 16, step=2), "hidden": IntDistribution(128, 1024, step=128)},
    "hn_pt": {
        "blocks": IntDistribution(2, 16, step=2), "hidden": IntDistribution(128, 896, step=128), "token": IntDistribution(64, 256, step=64)
    },
    "hn_ptgru": {
        "blocks": IntDistribution(2, 12, step=2), "hidden": IntDistribution(128, 896, step=128), "token": IntDistribution(64, 512, step=64),
        "gru_layers": IntDistribution(1, 4),
    },
    "tfm": {
        "blocks": IntDistribution(2, 8, step=2), "heads": CategoricalDistribution([4, 8]), "factor": CategoricalDistribution([2.0, 4.0])
    },
    "tfm_modules": {
        "blocks": IntDistribution(2, 8, step=2), "heads": CategoricalDistribution([4, 8]), "factor": CategoricalDistribution([2.0, 4.0]),
        "hidden": IntDistribution(256, 1024, step=256), "knots": IntDistribution(4, 24, step=4),
    },
    "mlp_raw": {"blocks": IntDistribution(1, 2), "hidden": IntDistribution(512, 3072, step=256)},
    "resnet_oh": {"blocks": IntDistribution(1, 16), "hidden": IntDistribution(128, 1024, step=128)},
    "bigru_oh": {"hidden": IntDistribution(128, 1024, step=128), "gru_layers": IntDistribution(1, 4)},
}  # fmt: skip
CPU: dict[str, Space] = {
    "mlp_oh": {"blocks": IntDistribution(1, 2), "hidden": IntDistribution(256, 1280, step=256)},
    "hn_oh": {"blocks": IntDistribution(2, 8, step=2), "hidden": IntDistribution(128, 640, step=128)},
    "hn_pt": {
        "blocks": IntDistribution(2, 8, step=2), "hidden": IntDistribution(128, 512, step=128), "token": IntDistribution(8, 32, step=8)
    },
    "hn_ptgru": {
        "blocks": IntDistribution(2, 6, step=2), "hidden": IntDistribution(128, 512, step=128), "token": IntDistribution(32, 96, step=32)
    },
    "tfm": {
        "blocks": IntDistribution(2, 4), "heads": CategoricalDistribution([2, 4]), "token": IntDistribution(32, 96, step=32),
        "factor": CategoricalDistribution([2.0, 4.0]),
    },
    "tfm_modules": {
        "blocks": IntDistribution(2, 4), "heads": CategoricalDistribution([2, 4]), "token": IntDistribution(64, 160, step=32),
        "hidden": IntDistribution(128, 512, step=128), "knots": IntDistribution(4, 20, step=4),
    },
    "mlp_raw": {"blocks": IntDistribution(1, 2), "hidden": IntDistribution(256, 1280, step=256)},
    "resnet_oh": {"blocks": IntDistribution(1, 6), "hidden": IntDistribution(128, 640, step=128)},
    "bigru_oh": {"hidden": IntDistribution(32, 96, step=32)},
}  # fmt: skip


def space(model: str, preset: str, tune: str, fixed: dict[str, Any]) -> Space:
    """Return what a trial of a model tries, by name, without the sizes that are fixed.

    Args:
        model: the encoder.
        preset: ``cpu`` or ``paper``.
        tune: ``all``, or ``optimiser`` alone.
        fixed: sizes that are the same in all trials.
    """
    sizes = (PAPER if preset == "paper" else CPU)[model] if tune == "all" else {}
    return {**optimiser(model, preset), **{name: value for name, value in sizes.items() if name not in fixed}}


def settings_of(tried: dict[str, Any], fixed: dict[str, Any], flat_share: float) -> dict[str, Any]:
    """Return a trial's numbers as settings of train_preset_encoder."""
    sizes = {name: value for name, value in tried.items() if name not in OPTIMISER}
    rate = tried["learning_rate"]
    return {
        "sizes": {**sizes, **fixed}, "learning_rate": rate, "least_rate": rate * tried["least_factor"],
        "betas": (tried["beta_1"], tried["beta_2"]), "eps": tried["eps"], "flat_share": flat_share, "schedule": "cosine",
    }  # fmt: skip
