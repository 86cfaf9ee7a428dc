"""The two presets: a small AST for the CPU, and the paper's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import ASTConfig, ASTForAudioClassification

from core.errors import InvalidValueError
from tasks.train_ast.fbank import MELS
from tasks.train_ast.spec import Settings
from tasks.training.dropout import replace_dropout

PAPER_EPOCHS = 50


@dataclass(frozen=True)
class Recipe:
    """Everything that the two presets decide differently."""

    steps: int
    batch_clips: int
    learning_rate: float
    weight_decay: float
    betas: tuple[float, float]
    augmented: bool
    label_smoothing: float
    steps_per_epoch: int

    def rate(self, step: int) -> float:
        """Return the learning rate at a step: warm-up and linear decay on the CPU; ×0.85 an epoch from epoch 5 on in the paper's recipe."""
        if self.augmented:
            warm = min(1.0, (step + 1) / max(1, round(0.1 * self.steps)))
            return self.learning_rate * warm * max(0.02, 1 - step / self.steps)
        return self.learning_rate * 0.85 ** max(0, step // self.steps_per_epoch - 4)


def recipe(settings: Settings, gold_clips: int) -> Recipe:
    """Return the recipe: the preset's values where the settings leave 0."""
    if settings.preset == "paper":
        batch = settings.batch_clips or 48
        epoch = max(1, -(-gold_clips // batch))
        rate = settings.learning_rate or (1e-5 if settings.pretrained else 1e-4)
        return Recipe(settings.steps or PAPER_EPOCHS * epoch, batch, rate, 5e-7, (0.95, 0.999), False, 0.0, epoch)
    batch = settings.batch_clips or 24
    return Recipe(settings.steps or 240, batch, settings.learning_rate or 1e-3, 0.05, (0.9, 0.98), True, 0.1, max(1, gold_clips // batch))


def build_model(settings: Settings, classes: int, target_frames: int) -> ASTForAudioClassification:
    """Return the model, with random weights or a local checkpoint's; what it drops does not hang on the number of devices.

    Raises:
        InvalidValueError: the checkpoint's folder does not exist.
    """
    model = _bare_model(settings, classes, target_frames)
    replace_dropout(model)
    return model


def _bare_model(settings: Settings, classes: int, target_frames: int) -> ASTForAudioClassification:
    if settings.pretrained:
        if not Path(settings.pretrained).is_dir():
            raise InvalidValueError(
                "no such folder", where="train_ast.pretrained", allowed="a transformers folder", received=settings.pretrained
            )
        return ASTForAudioClassification.from_pretrained(
            settings.pretrained, num_labels=classes, ignore_mismatched_sizes=True, local_files_only=True
        )
    if settings.preset == "paper":
        config = ASTConfig(num_mel_bins=MELS, max_length=target_frames, num_labels=classes, frequency_stride=10, time_stride=10)
    else:
        config = ASTConfig(
            hidden_size=128, num_hidden_layers=3, num_attention_heads=4, intermediate_size=384, hidden_dropout_prob=0.1,
            attention_probs_dropout_prob=0.0, num_mel_bins=MELS, max_length=target_frames, num_labels=classes, patch_size=16,
            frequency_stride=16, time_stride=8, attn_implementation="sdpa",
        )  # fmt: skip
    return ASTForAudioClassification(config)


def parameter_count(model: torch.nn.Module) -> int:
    """Return the number of weights."""
    return sum(part.numel() for part in model.parameters())
