"""Weights in and out: models of our own, and by name, strictly, those of LAION's CLAP, roberta-base, DISSE and its spatial branch."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from core.errors import InvalidValueError
from tasks import hub
from tasks.spatial_model.network import SpatialTextModel
from tasks.spatial_model.sizes import Sizes, from_plain, to_plain
from tasks.spatial_model.text import FOLDER, PretrainedTokenizer, Tokenizer, WordTokenizer
from tasks.training.weights import save_weights

MODEL = "model.pt"
"""File of a model below its folder: ``state`` and ``config``, tensors and plain values only."""
STATES = ("model_state_dict", "state_dict", "model")
"""Where a training script may have put the weights inside its checkpoint."""
CONSTANT = ("position_ids", "relative_position_index", "token_type_ids")
"""Buffers of index numbers that some versions of transformers store and others work out."""
HTSAT_PREFIX, ROBERTA_PREFIX = "audio_model.", "roberta."
FILES = ["config.json", "*.safetensors", "pytorch_model.bin", "*.txt", "*.json"]


def save(folder: Path, model: SpatialTextModel, about: dict[str, Any]) -> None:
    """Write a model; the same weights give the same bytes.

    Args:
        folder: where :data:`MODEL` goes, and the files of a transformers tokenizer.
        model: the weights.
        about: plain values that are kept in ``config`` (statistics of the training rooms, seed, settings).
    """
    config = {**about, "sizes": to_plain(model.sizes), "vocabulary": model.tokenizer.vocabulary}
    save_weights(folder / MODEL, model.state_dict(), config)
    model.tokenizer.save(folder)


def load(path: Path, device: str = "cpu") -> tuple[SpatialTextModel, dict[str, Any]]:
    """Return a model in evaluation mode and its ``config``.

    Raises:
        InvalidValueError: there is none.
    """
    file = path / MODEL
    if not file.is_file():
        raise InvalidValueError("no trained model", where=str(path), allowed=f"a folder of train_spatial with {MODEL}", received="nothing")
    saved = torch.load(file, weights_only=True, map_location="cpu")
    sizes, words = from_plain(saved["config"]["sizes"]), saved["config"]["vocabulary"]
    tokenizer: Tokenizer = WordTokenizer(words, sizes.text_tokens) if words else PretrainedTokenizer(path / FOLDER, sizes.text_tokens)
    model = SpatialTextModel(sizes, tokenizer)
    model.load_state_dict(saved["state"])
    return model.to(device).eval().requires_grad_(False), saved["config"]


def located(name: str, where: str) -> Path:
    """Return the folder or file of a checkpoint: a path as it stands, or a model of the hub's local cache.

    Raises:
        InvalidValueError: neither.
    """
    return Path(name) if Path(name).exists() else hub.snapshot(name, FILES, where)


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the weights of a file, or of a folder with ``model.safetensors`` or ``pytorch_model.bin``, by their names.

    A script's own level around the weights and DDP's ``module.`` are taken off.

    Raises:
        InvalidValueError: no such file, or it holds more than tensors and plain values.
    """
    names = ("model.safetensors", "pytorch_model.bin")
    file = next((path / name for name in names if (path / name).is_file()), path) if path.is_dir() else path
    if not file.is_file():
        raise InvalidValueError(
            "no weights there", where=str(path), allowed=f"a file, or a folder with {' or '.join(names)}", received="none"
        )
    if file.suffix == ".safetensors":
        return dict(load_file(file))
    try:
        found = torch.load(file, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        hint = "save its state_dict alone, with torch.save(checkpoint['model'], file), where you trust it"
        what, received = "tensors and plain values", str(error)[:80]
        raise InvalidValueError("no plain checkpoint", where=str(file), allowed=what, received=received, hint=hint) from error
    state = next((found[name] for name in STATES if isinstance(found.get(name), dict)), found)
    return {name.removeprefix("module."): part for name, part in state.items() if isinstance(part, Tensor)}


def fit(module: nn.Module, state: dict[str, Tensor], where: str) -> None:
    """Load weights by name, all of them and nothing else.

    Raises:
        InvalidValueError: names are missing, unknown, or of another shape; says which.
    """
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in state and not name.endswith(CONSTANT)]
    unknown = [name for name in state if name not in wanted and not name.endswith(CONSTANT)]
    shapes = {name: (tuple(part.shape), tuple(state[name].shape)) for name, part in wanted.items() if name in state}
    other = {name: f"{ours} here, {theirs} there" for name, (ours, theirs) in shapes.items() if ours != theirs}
    if missing or unknown or other:
        received = {"missing": missing[:4], "unknown": unknown[:4], "other shape": dict(list(other.items())[:4])}
        allowed = f"the {len(wanted)} tensors of this architecture, by name"
        hint = "sizes that differ are settings; for DISSE's released checkpoint set preset=paper and compat=true"
        raise InvalidValueError("weights do not fit", where=where, allowed=allowed, received=received, hint=hint)
    module.load_state_dict({name: state.get(name, part) for name, part in wanted.items()})


def htsat_sizes(sizes: Sizes, path: Path) -> Sizes:
    """Return the sizes with the audio model of a CLAP folder's ``config.json``."""
    config = json.loads((path / "config.json").read_text())
    return dataclasses.replace(sizes, source="htsat", htsat=_scalars(config.get("audio_config", config)))


def roberta_sizes(sizes: Sizes, path: Path) -> Sizes:
    """Return the sizes with the text model of a RoBERTa folder's ``config.json``, which needs no help by its words' embeddings."""
    return dataclasses.replace(sizes, word_gain=0.0, text=_scalars(json.loads((path / "config.json").read_text())))


IGNORED = (
    "model_type",
    "architectures",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "_name_or_path",
    "id2label",
    "label2id",
    "use_cache",
    "_attn_implementation",
)


def _scalars(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in IGNORED and value is not None and not isinstance(value, dict)}


def fit_htsat(model: SpatialTextModel, path: Path) -> None:
    """Load the audio model out of a CLAP checkpoint (``ClapModel`` or ``ClapAudioModelWithProjection``); its projection is not used."""
    state = read_state(path)
    part = {name.removeprefix(HTSAT_PREFIX): value for name, value in state.items() if name.startswith(HTSAT_PREFIX)}
    fit(model.part("htsat").model, part, str(path))  # type: ignore[arg-type]


def fit_roberta(model: SpatialTextModel, path: Path) -> None:
    """Load RoBERTa: its own checkpoint, or one with a language model's head, which is left."""
    state = read_state(path)
    headed = any(name.startswith(ROBERTA_PREFIX) for name in state)
    kept = {name.removeprefix(ROBERTA_PREFIX): part for name, part in state.items() if not headed or name.startswith(ROBERTA_PREFIX)}
    wanted = model.part("roberta").state_dict()
    # roberta-base was saved from masked language modelling, with no pooler: it starts from chance there, as in transformers.
    pooler = {name: part for name, part in wanted.items() if name.startswith("pooler.") and name not in kept} if headed else {}
    fit(model.part("roberta"), {**kept, **pooler}, str(path))


def fit_branch(model: SpatialTextModel, path: Path) -> None:
    """Load a pre-trained spatial branch: a checkpoint of the branch alone, or a folder of train_spatial with ``branch.pt``."""
    fit(model.part("spatial_branch"), read_state(path / "branch.pt" if path.is_dir() else path), str(path))


def fit_whole(model: SpatialTextModel, path: Path) -> None:
    """Load a checkpoint of the whole model in DISSE's format."""
    fit(model, read_state(path), str(path))
