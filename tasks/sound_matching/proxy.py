"""Fine-tuning of a preset encoder on the sounds that an estimator is trained on, before it stands in for synthesiser and ear."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from core.context import Context
from tasks.preset_encoders import encoder as encoders
from tasks.preset_encoders import recipes
from tasks.preset_encoders.encoder import MODEL, PresetEncoder
from tasks.preset_encoders.examples import Examples, Splits, check_belongs, digest, made_like
from tasks.preset_encoders.fitting import WEIGHTS, Trainee
from tasks.presets.reading import PresetSet
from tasks.training.loop import CHECKPOINT

FOLDER = "proxy"
"""Of the fine-tuned proxy, below the stage's output."""
PLATEAU = {"plateau_factor": 0.5, "plateau_patience": 10}
"""Published: the rate is halved after ten looks, one an epoch, without betterment."""


def open_proxy(folder: Path, presets: PresetSet, device: str) -> tuple[PresetEncoder, list[str]]:
    """Load a trained encoder, frozen, and the digests of the sets that it was trained on.

    Raises:
        InvalidValueError: one that was trained on presets made otherwise than these.
    """
    encoder, _, config = encoders.load(folder, device)
    check_belongs(config["made"], presets, "train_sound_matcher.proxy")
    return passing_gradients(encoder), list(config.get("trained_on", []))


def passing_gradients(encoder: PresetEncoder) -> PresetEncoder:
    """Freeze an encoder in evaluation mode, in a way that gradients reach its input."""
    encoder.eval().requires_grad_(False)
    for part in encoder.modules():
        if isinstance(part, nn.GRU):
            part.train()  # cuDNN's has no gradient otherwise; it has no dropout, so that nothing else changes
    return encoder


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """How a proxy is fine-tuned."""

    epochs: int
    """Passes over the training sounds; 0: none."""
    learning_rate: float
    """AdamW's highest rate."""
    batch_presets: int = 64
    """Per step."""
    warm_up_share: float = 0.04
    """Share of the steps in which the rate rises."""
    seed: int = 0
    """Of the orders."""
    trained_on: tuple[str, ...] = ()
    """Digests of the sets that the encoder knows already."""


def fine_tune(
    encoder: PresetEncoder, sets: tuple[PresetSet, PresetSet], rows: list[npt.NDArray[np.int64]], how: FineTuning, context: Context
) -> tuple[PresetEncoder, float, float]:
    """Train an encoder on, with L1, a linear warm-up and a plateau; return the best one and its validation error before and after.

    It goes on from a checkpoint of its own, below :data:`FOLDER`. ``model.pt`` there is what later stages may load. The better of the
    two is returned: where fine-tuning made the validation error greater, the encoder as it came.

    Args:
        encoder: trained; it is left as it is.
        sets: preset sets to train on and to validate with.
        rows: of each.
        how: it is trained.
        context: of the stage.
    """
    spec = sets[0].spec
    own = dataclasses.replace(context, output=context.output / FOLDER)
    own.output.mkdir(parents=True, exist_ok=True)
    examples = [Examples(presets, some, context.device) for presets, some in zip(sets, rows, strict=True)]
    splits = Splits(sets[0], examples[0], examples[1], (digest(sets[0].folder), digest(sets[1].folder)))
    plan = recipes.plan(
        encoder.config["name"], "paper", spec.name, len(rows[0]), sizes=encoder.config["sizes"], epochs=how.epochs, schedule="plateau",
        learning_rate=how.learning_rate, batch_presets=how.batch_presets, warm_up_share=how.warm_up_share, looks_per_epoch=1, keep_epochs=0,
        **PLATEAU,
    )  # fmt: skip
    tuned = encoders.build(encoder.config["name"], sets[0].layout, encoder.config["out"], **encoder.config["sizes"]).to(context.device)
    tuned.load_state_dict(encoder.state_dict())
    about = {"loss": "l1", "seed": how.seed, "made": made_like(sets[0]), "trained_on": [*dict.fromkeys((*how.trained_on, *splits.digests))]}
    trainee = Trainee(plan, tuned, splits, how.seed, own, about)
    before = trainee.look()
    trainee.train()
    best, _, _ = encoders.load(trainee.weights("best_loss"), context.device)
    trainee.encoder = best
    after = trainee.look()
    kept = best if after.loss <= before.loss else encoder
    encoders.save(own.output / MODEL, kept, spec, about)
    (own.output / CHECKPOINT).unlink(missing_ok=True)
    shutil.rmtree(own.output / WEIGHTS, ignore_errors=True)
    return passing_gradients(kept), before.l1, min(before, after, key=lambda look: look.loss).l1


def tuned_already(context: Context) -> bool:
    """Whether an earlier attempt finished fine-tuning."""
    return (context.output / FOLDER / MODEL).is_file()
