"""Opens what a training hears, and builds its model: sizes by the settings or by a checkpoint, weights by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from core.keys import files_digest
from core.manifest import FILE_NAME
from tasks.contrastive.network import WholeBatchNorm
from tasks.spatial.catalogue import DESCRIPTION, TABLE
from tasks.spatial_model import storage
from tasks.spatial_model.network import SpatialTextModel
from tasks.spatial_model.scenes import vocabulary
from tasks.spatial_model.sizes import Sizes
from tasks.spatial_model.sources import Sources
from tasks.spatial_model.spaces import Spaces, Statistics
from tasks.spatial_model.text import PretrainedTokenizer, Tokenizer, WordTokenizer
from tasks.train_spatial import recipe
from tasks.train_spatial.spec import Request
from tasks.training.distributed import world
from tasks.training.dropout import replace_dropout


@dataclass(frozen=True)
class Material:
    """What a training hears."""

    train: tuple[Sources, Spaces]
    val: tuple[Sources, Spaces] | None
    """None where there are no validation clips or rooms."""
    statistics: Statistics
    digest: str
    """SHA-256 over manifest and catalogue."""


def shape_of(request: Request) -> Sizes:
    """Return the architecture: the preset's and the settings', with the towers of the checkpoints that were named."""
    sizes = recipe.sizes(request.settings)
    if request.htsat:
        sizes = storage.htsat_sizes(sizes, storage.located(request.htsat, "train_spatial.htsat"))
    if request.roberta:
        sizes = storage.roberta_sizes(sizes, storage.located(request.roberta, "train_spatial.roberta"))
    return sizes


def placed(request: Request, context: Context) -> Request:
    """Return the request with the outputs of other stages (a pre-trained branch) by where they are."""
    parts = {name: getattr(request, name) for name in ("htsat", "roberta", "branch", "checkpoint")}
    return replace(request, **{name: str(context.locate(text)) for name, text in parts.items() if text.startswith("stages/")})


def open_material(request: Request, sizes: Sizes, context: Context) -> Material:
    """Open clips and rooms; validation is left out where one of them has none.

    Raises:
        InvalidValueError: no training clips or rooms.
    """
    settings, clips, rooms = request.settings, context.resolve(request.clips), context.resolve(request.catalogue)
    trim = settings.trim and not settings.compat

    def opened(split: str) -> tuple[Sources, Spaces]:
        return (
            Sources(clips, context.data_root, split, sizes.sample_rate_hz, sizes.samples, trim),
            Spaces(rooms, split, sizes.sample_rate_hz, sizes.samples, settings.compat),
        )

    train = opened("train")
    try:
        val = opened("val")
    except InvalidValueError as error:
        context.log(f"no validation: {error}")
        val = None
    return Material(train, val, Statistics.of(train[1]), files_digest([clips / FILE_NAME, rooms / TABLE, rooms / DESCRIPTION]))


def build_model(request: Request, sizes: Sizes, material: Material, device: str) -> SpatialTextModel:
    """Return the model with its first weights, ready for as many ranks as there are."""
    tokenizer: Tokenizer
    if request.roberta:
        tokenizer = PretrainedTokenizer(storage.located(request.roberta, "train_spatial.roberta"), sizes.text_tokens)
    else:
        tokenizer = WordTokenizer.of(vocabulary(*material.train), sizes.text_tokens)
    torch.manual_seed(request.seed)
    model = SpatialTextModel(sizes, tokenizer)
    for name, fit in (("htsat", storage.fit_htsat), ("roberta", storage.fit_roberta), ("branch", storage.fit_branch)):
        if getattr(request, name):
            fit(model, storage.located(getattr(request, name), f"train_spatial.{name}"))
    if request.checkpoint:
        storage.fit_whole(model, storage.located(request.checkpoint, "train_spatial.checkpoint"))
    model.freeze(request.settings.freeze)
    if world() > 1:
        replace_dropout(model)
        share_batch_norm(model)
    return model.to(device)


def share_batch_norm(model: nn.Module) -> None:
    """Let every batch norm of maps see the rows of all ranks; weights and their names stay."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                shared = WholeBatchNorm(child.num_features, child.eps, child.momentum)
                shared.load_state_dict(child.state_dict())
                shared.train(child.training)
                shared.requires_grad_(child.weight.requires_grad)
                setattr(module, name, shared)


def identity(request: Request, digest: str) -> dict[str, Any]:
    """Return what a checkpoint must agree with to be gone on from."""
    settings = {name: value for name, value in to_dict(request.settings).items() if name not in ("num_devices", "workers")}
    return {"seed": request.seed, "digest": digest, "settings": settings}
