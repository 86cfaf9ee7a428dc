"""The transformer: built after a preset, or loaded from a checkpoint whose position embedding is fitted to the clips' length."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import ASTConfig, ASTForAudioClassification

from core.errors import InvalidValueError
from tasks.ast_classifier.asked import Settings
from tasks.ast_classifier.fbank import MELS
from tasks.ast_classifier.recipe import PRESETS
from tasks.training.dropout import replace_dropout

PATCH_FRAMES = 16
"""Frames of one patch; the spec of ``train_ast`` knows the number, too."""


def build_model(settings: Settings, classes: int, frames: int) -> ASTForAudioClassification:
    """Return the model, with random weights or a local checkpoint's; what it drops does not hang on the number of devices.

    Args:
        settings: preset and checkpoint.
        classes: outputs of the new head.
        frames: frames it sees at once.

    Raises:
        InvalidValueError: the checkpoint's folder does not exist.
    """
    model = _pretrained(settings.pretrained, classes, frames) if settings.pretrained else _fresh(settings, classes, frames)
    replace_dropout(model)
    return model


def _fresh(settings: Settings, classes: int, frames: int) -> ASTForAudioClassification:
    preset = PRESETS[settings.preset]
    return ASTForAudioClassification(
        ASTConfig(
            hidden_size=preset.hidden_size, num_hidden_layers=preset.layers, num_attention_heads=preset.heads,
            intermediate_size=preset.mlp_size, hidden_dropout_prob=preset.dropout, attention_probs_dropout_prob=0.0, num_mel_bins=MELS,
            max_length=frames, num_labels=classes, patch_size=PATCH_FRAMES, frequency_stride=preset.frequency_stride,
            time_stride=preset.time_stride, attn_implementation="sdpa",
        )
    )  # fmt: skip


def _pretrained(folder: str, classes: int, frames: int) -> ASTForAudioClassification:
    if not Path(folder).is_dir():
        raise InvalidValueError("no such folder", where="train_ast.pretrained", allowed="a transformers folder", received=folder)
    model = ASTForAudioClassification.from_pretrained(folder, num_labels=classes, ignore_mismatched_sizes=True, local_files_only=True)
    fit_positions(model, frames)
    return model


def fit_positions(model: ASTForAudioClassification, frames: int) -> None:
    """Cut the position embedding in time around its middle, or stretch it bilinearly, to clips of this length (Gong et al., 2021, 2.2)."""
    embeddings = model.audio_spectrogram_transformer.embeddings
    config, old = embeddings.config, embeddings.position_embeddings.data
    if config.max_length == frames:
        return
    high, wide = embeddings.get_shape(config)
    config.max_length = model.config.max_length = frames
    _, wanted = embeddings.get_shape(config)
    grid = old[:, 2:].transpose(1, 2).reshape(1, -1, high, wide)  # two tokens stand before the patches
    if wanted <= wide:
        start = (wide - wanted) // 2
        grid = grid[..., start : start + wanted]
    else:
        grid = torch.nn.functional.interpolate(grid, size=(high, wanted), mode="bilinear")
    embeddings.position_embeddings = torch.nn.Parameter(torch.cat([old[:, :2], grid.flatten(2).transpose(1, 2)], 1).contiguous())


def encode(model: ASTForAudioClassification, banks: torch.Tensor) -> torch.Tensor:
    """Return one vector a clip, the mean of class and distillation token [clips, hidden], of features [clips, frames, mels]."""
    return model.audio_spectrogram_transformer(banks).pooler_output


def parameter_count(model: torch.nn.Module) -> int:
    """Return the number of weights."""
    return sum(part.numel() for part in model.parameters())
