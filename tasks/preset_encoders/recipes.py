"""How long, how large, how fast: the settings of a training, resolved for one encoder and one preset set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from core.contract import to_dict
from core.errors import InvalidValueError, nearest
from tasks.preset_encoders.encoder import complete
from tasks.preset_encoders.schedules import Plateau, flat_then_cosine, warmed, wcrc
from tasks.training.loop import Schedule


@dataclass(frozen=True)
class Plan:
    """What a training does."""

    model: str
    sizes: dict[str, Any] = field(default_factory=dict)
    """All sizes of the encoder."""
    epochs: int = 30
    batch_presets: int = 512
    loss: str = "l1"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    schedule: str = "wcrc"
    flat_share: float = 7_500 / 600_000
    """wcrc and cosine: share of the steps with a constant rate in the beginning."""
    restart_share: float = 1 / 3
    """wcrc: share of the steps after which the cosine begins again."""
    least_rate: float = 2e-6
    warm_up_share: float = 0.0
    """Share of the steps in which the rate rises linearly."""
    plateau_factor: float = 0.1
    plateau_patience: int = 5
    clip_norm: float = 0.0
    """Longest gradient; 0: any."""
    precision: str = "float32"
    normalise: bool = False
    looks_per_epoch: int = 2
    keep_epochs: int = 5
    rankings: int = 256
    candidates: int = 512
    rows: int = 0
    """Training presets."""

    @property
    def batch(self) -> int:
        """Presets per step."""
        return min(self.batch_presets, self.rows)

    @property
    def epoch_steps(self) -> int:
        """Steps of one epoch; presets that fill no batch wait for another epoch's order."""
        return self.rows // self.batch

    @property
    def steps(self) -> int:
        """Gradient steps."""
        return self.epochs * self.epoch_steps

    def looks_at(self, done: int) -> bool:
        """Whether held-out presets are looked at after ``done`` steps: evenly within each epoch, and at its end."""
        looks = min(self.looks_per_epoch, self.epoch_steps)
        return done * looks // self.epoch_steps != (done - 1) * looks // self.epoch_steps

    def rates(self) -> tuple[Schedule, Plateau | None]:
        """Return the learning rate by step, and the plateau that must be told the losses, if that is the schedule."""
        rate, least, flat = self.learning_rate, min(self.least_rate, self.learning_rate), round(self.flat_share * self.steps)
        plateau = Plateau(rate, self.plateau_factor, self.plateau_patience) if self.schedule == "plateau" else None
        if plateau is not None:
            found: Schedule = plateau
        elif self.schedule == "wcrc":
            found = wcrc(rate, least, flat, round(self.restart_share * self.steps), self.steps)
        else:
            found = flat_then_cosine(rate, least, self.steps, flat)
        return warmed(found, round(self.warm_up_share * self.steps)), plateau


# Learning rate, betas and eps of the published trainings, by encoder and synthesiser.
_MLP = {"dexed": (1.2e-2, (0.780, 0.998), 8e-6), "diva": (1.4e-2, (0.780, 0.998), 2e-8), "tal_noisemaker": (1.4e-2, (0.910, 0.980), 2e-8)}
_HN = {"dexed": (4e-3, (0.930, 0.987), 2e-7), "diva": (4e-3, (0.930, 0.987), 2e-7), "tal_noisemaker": (1e-2, (0.800, 0.948), 2e-7)}
_TFM = {"dexed": (1e-3, (0.910, 0.987), 2e-8), "diva": (1e-3, (0.890, 0.987), 5e-10), "tal_noisemaker": (1e-3, (0.890, 0.987), 5e-10)}
PUBLISHED: dict[str, dict[str, tuple[float, tuple[float, float], float]]] = {
    "mlp_oh": _MLP,
    "hn_oh": _HN,
    "hn_pt": {
        "dexed": (7e-3, (0.780, 0.970), 3e-7), "diva": (4e-3, (0.930, 0.987), 2e-7), "tal_noisemaker": (1e-2, (0.800, 0.948), 2e-7)
    },
    "hn_ptgru": {
        "dexed": (1.5e-3, (0.775, 0.978), 3e-7), "diva": (1.5e-3, (0.775, 0.978), 2e-8), "tal_noisemaker": (1.5e-3, (0.930, 0.987), 2e-8)
    },
    "tfm": _TFM, "tfm_modules": _TFM,
    "mlp_raw": _MLP, "resnet_oh": _HN, "bigru_oh": _HN,
}  # fmt: skip
"""Other synthesisers take Dexed's; the last four encoders, which were not published with numbers, those of their kin."""

_TOKENS = {"precision": "float32", "clip_norm": 1.0, "warm_up_share": 0.05}
CPU: dict[str, dict[str, Any]] = {
    "mlp_oh": {"sizes": {"hidden": 1024}, "epochs": 20, "learning_rate": 3e-3},
    "hn_oh": {"sizes": {"hidden": 512}, "epochs": 14, "learning_rate": 3e-3},
    "hn_pt": {"sizes": {"hidden": 384, "token": 16}, "epochs": 25, "learning_rate": 3e-3},
    "hn_ptgru": {"sizes": {"hidden": 384, "token": 64, "blocks": 4}, "epochs": 8, "learning_rate": 2e-3, **_TOKENS},
    "tfm": {
        "sizes": {"token": 64, "blocks": 3, "heads": 4, "factor": 2.0, "position": False, "token_sd": 1.0, "init_sd": 0.08},
        "epochs": 8, "batch_presets": 64, "learning_rate": 1.5e-3, **_TOKENS,
    },
    "tfm_modules": {
        "sizes": {"token": 96, "blocks": 3, "heads": 4, "hidden": 256}, "epochs": 24, "learning_rate": 2e-3, "looks_per_epoch": 1,
        **_TOKENS,
    },
    "mlp_raw": {"sizes": {"hidden": 1024}, "epochs": 40, "learning_rate": 3e-3},
    "resnet_oh": {"sizes": {"hidden": 512}, "epochs": 20, "learning_rate": 3e-3},
    "bigru_oh": {"sizes": {"hidden": 64}, "epochs": 6, "learning_rate": 2e-3, **_TOKENS},
}  # fmt: skip
"""Small sizes and short trainings for 100,000 presets: about ten minutes each on two cores."""
CPU_COMMON: dict[str, Any] = {
    "schedule": "cosine", "batch_presets": 256, "normalise": True, "keep_epochs": 0, "looks_per_epoch": 2, "flat_share": 0.0,
    "betas": (0.9, 0.99), "least_rate": 1e-5, "rankings": 1024,
}  # fmt: skip


def paper(model: str, synth: str) -> dict[str, Any]:
    """Return the published training of an encoder for a synthesiser."""
    rate, betas, eps = PUBLISHED[model].get(synth, PUBLISHED[model]["dexed"])
    return {"learning_rate": rate, "betas": betas, "eps": eps, "batch_presets": 256 if model.startswith("tfm") else 512}


def plan(model: str, preset: str, synth: str, rows: int, **changes: Any) -> Plan:
    """Resolve a training.

    Args:
        model: the encoder.
        preset: ``cpu`` or ``paper``.
        synth: name of the synthesiser, for the published rates.
        rows: training presets.
        changes: in place of the preset's; None leaves the preset's. ``sizes`` are changed one by one.

    Raises:
        InvalidValueError: no such encoder, size or setting.
    """
    complete(model, {})
    base = paper(model, synth) if preset == "paper" else {**CPU_COMMON, **CPU[model]}
    changed = {name: value for name, value in changes.items() if value is not None and name != "sizes"}
    known = Plan.__dataclass_fields__
    for name in changed:
        if name not in known:
            raise InvalidValueError("no such setting", where=f"plan.{name}", received=changed[name], hint=nearest(name, known))
    sizes = complete(model, {**base.get("sizes", {}), **(changes.get("sizes") or {})})
    return replace(Plan(model), **{**base, **changed, "sizes": sizes, "rows": rows})


def identity(plan: Plan) -> Mapping[str, Any]:
    """Return a plan as plain values, for a checkpoint."""
    return dict(to_dict(plan))
