"""Run by torchrun from test_distributed.py, with a folder: tries batch normalisation over ranks, then runs the stage."""

import contextlib
import json
import sys
from pathlib import Path

import torch

from core import host
from core.contract import to_dict
from tasks.contrastive.losses import align_and_uniform
from tasks.contrastive.network import ResNet18
from tasks.train_contrastive import stage
from tasks.training import distributed
from tests.tasks.train_contrastive.runs import train

PAIRS = 6


def normalised():
    """Three steps of the network, its batch normalisation and the loss of the whole batch, in float64: losses, weights, statistics."""
    torch.manual_seed(0)
    network = ResNet18(8, width=4).double()
    optimizer, found = torch.optim.SGD(network.parameters(), lr=0.01), []
    for step in range(3):
        views = torch.randn(2, PAIRS, 1, 32, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        embeddings = [distributed.gather_with_gradient(network(distributed.own_part(view)), PAIRS) for view in views]
        loss = sum(align_and_uniform(*embeddings))
        optimizer.zero_grad()
        loss.backward()
        distributed.average_gradients(network.parameters(), PAIRS // distributed.world(), PAIRS)
        optimizer.step()
        found.append(loss.detach())
    return {"losses": torch.stack(found), **network.state_dict()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    with distributed.joined("cpu"):
        number = distributed.rank()
        torch.save(normalised(), folder / f"norm-{number}.pt")
        stage.joined = contextlib.nullcontext  # gloo cannot be joined twice
        result, _ = train(folder, "two", epochs=1, optimizer="sgd", num_devices=2)
    (folder / f"result-{number}.json").write_text(json.dumps(to_dict(result)))
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    (folder / f"threads-{number}.json").write_text(json.dumps(threads))
    host.leave(0)
