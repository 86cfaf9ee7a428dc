"""Reads stable-audio-tools' checkpoints, strictly by name and shape.

The library's own ``copy_state_dict`` leaves out what does not fit without a word: a model with half its weights fresh still makes sound.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from core.errors import InvalidValueError

WEIGHTS = "model.safetensors"
State = dict[str, torch.Tensor]


def find(folder: Path) -> Path | None:
    """Return a folder's weights: ``model.safetensors``, else ``model.ckpt``, else its only other ``.safetensors`` or ``.ckpt``."""
    for name in (WEIGHTS, "model.ckpt"):
        if (folder / name).is_file():
            return folder / name
    others = [path for pattern in ("*.safetensors", "*.ckpt") for path in sorted(folder.glob(pattern))]
    return others[0] if len(others) == 1 else None


def read(path: Path) -> State:
    """Return the tensors of a checkpoint file.

    Raises:
        InvalidValueError: the file is damaged, or holds other things than tensors and plain values.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(str(path)))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip, safetensors and torch raise several unrelated types
        allowed = "a .safetensors file, or a .ckpt of tensors"
        raise InvalidValueError("cannot be loaded safely", where=str(path), allowed=allowed, received=str(error)[:300]) from error
    return dict(loaded.get("state_dict", loaded))


def unwrapped(state: State, own: State) -> State:
    """Return a state under the model's own names, whatever it was trained in.

    Known wrappers: ``module.`` (data parallel), Lightning's ``diffusion.`` with ``diffusion_ema.ema_model.`` (the averaged denoiser wins,
    as in the library's ``export_model``), and one ``model.`` in front of everything.

    Args:
        state: what a file held.
        own: the model's state.
    """
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    if any(name.startswith("diffusion.") for name in state):
        inner = {name.removeprefix("diffusion."): value for name, value in state.items() if name.startswith("diffusion.")}
        prefix = "diffusion_ema.ema_model."
        averaged = {"model." + name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        return {**inner, **averaged}
    stripped = {name.removeprefix("model."): value for name, value in state.items()}
    wrapped = all(name.startswith("model.") for name in state) and len(set(stripped) & set(own)) > len(set(state) & set(own))
    return stripped if wrapped else state


def load_strictly(module: torch.nn.Module, state: State, where: Path) -> None:
    """Load a state: every name must be there, none more, every shape the same.

    Raises:
        InvalidValueError: with the names that do not fit.
    """
    own = module.state_dict()
    state = unwrapped(state, own)
    faults = {
        "missing": sorted(set(own) - set(state)),
        "unknown": sorted(set(state) - set(own)),
        "of another shape": [
            f"{name} {tuple(state[name].shape)} for {tuple(own[name].shape)}"
            for name in own
            if name in state and state[name].shape != own[name].shape
        ],
    }
    found = "; ".join(f"{len(names)} {kind}: {', '.join(names[:3])}" for kind, names in faults.items() if names)
    if found:
        allowed = "weights of exactly the model in model_config.json"
        raise InvalidValueError("weights do not fit the configuration", where=str(where), allowed=allowed, received=found[:800])
    module.load_state_dict(state, strict=True)
