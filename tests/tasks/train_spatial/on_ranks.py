"""Run by torchrun from test_distributed.py, with a folder: a few steps of a training in float64 on two ranks."""

import sys
from pathlib import Path

import torch

from core import host
from tasks.spatial_model.embedding import EMBEDDINGS  # noqa: F401 - fails early where the room cannot be imported
from tasks.train_spatial import building, recipe
from tasks.train_spatial.spec import Request, Settings
from tasks.train_spatial.training import Trainee
from tasks.training import distributed
from tests.tasks.train_spatial.scenery import CLIPS, ROOMS, SMALL, context_for


def stepped(root, name):
    """Two steps without dropout's functional kind, in float64: losses and weights."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")  # stages that ran in this process before may have chosen faster products
    try:
        return _stepped(root, name)
    finally:
        torch.set_float32_matmul_precision(before)


def _stepped(root, name):
    settings = Settings(
        **{**SMALL, "batch_sources": 4, "batch_spaces": 3, "steps": 2, "num_devices": distributed.world(), "weights": "learned"}
    )
    request, context = Request(CLIPS, ROOMS, seed=1, settings=settings), context_for(root, name)
    sizes = building.shape_of(request)
    sizes.text["attention_probs_dropout_prob"] = 0.0
    material = building.open_material(request, sizes, context)
    plan = recipe.plan(settings, len(material.train[0]), len(material.train[1]), sizes, "cpu")
    model = building.build_model(request, sizes, material, "cpu").double()
    for module in model.modules():
        if type(module) is torch.nn.Dropout or (hasattr(module, "batch") and hasattr(module, "p")):
            module.p = 0.0
    trainee = Trainee(request, plan, model, material, context)
    front = trainee.front.forward

    def wide(foa):
        return tuple(part.double() for part in front(foa))

    trainee.front.forward = wide
    model.part("htsat").mel = Wide(model.part("htsat").mel)
    trainee.weighting.double()
    model.train()
    trainee.loop.go(0, trainee._batch, lambda step: trainee._values.clear(), lambda step: None)
    return {"losses": torch.tensor(trainee.loop.losses, dtype=torch.float64), **trainee.trained.state_dict()}


class Wide(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = [inner.float()]

    def forward(self, waves):
        return self.inner[0](waves.float()).double()


if __name__ == "__main__":
    torch.set_num_threads(1)
    root = Path(sys.argv[1])
    with distributed.joined("cpu"):
        found = stepped(root, f"rank-{distributed.rank()}")
        torch.save(found, root / f"rank-{distributed.rank()}.pt")
    host.leave(0)
