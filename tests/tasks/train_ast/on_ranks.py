"""Run by torchrun from test_distributed.py: ``math FOLDER`` tries the helpers, ``host …`` is core.host with a rank that fails."""

import sys
from pathlib import Path

import torch
from torch import nn

from core import host
from tasks.ast_classifier.supcon import Projection, positive_pairs, whole_batch_loss
from tasks.training import distributed
from tasks.training.dropout import expect_batch, replace_dropout

SIZES = (7, 6, 5, 1)
"""Batches: uneven on two ranks, even, uneven, and one that leaves a rank with nothing."""


def network(seed=0):
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Dropout(0.3), nn.Linear(16, 8), nn.Dropout(0.2)).double()
    layers.register_parameter("unused", nn.Parameter(torch.ones(3, dtype=torch.float64)))
    layers.register_buffer("flags", torch.tensor([seed == 0, True]))
    layers.register_buffer("count", torch.tensor(seed))
    replace_dropout(layers)
    return layers


def batch(size):
    generator = torch.Generator().manual_seed(size)
    return torch.randn(size, 6, generator=generator, dtype=torch.float64), torch.randn(size, 8, generator=generator, dtype=torch.float64)


def contrastive(features, labels, anchors):
    """SupCon (Khosla et al., 2020, equation 2): mean over the anchors, of which there are fewer than features."""
    normal = nn.functional.normalize(features, dim=1)
    likeness = normal[anchors] @ normal.T / 0.2
    others = torch.ones_like(likeness, dtype=torch.bool).scatter_(1, anchors[:, None], False)
    chances = likeness - torch.logsumexp(likeness.masked_fill(~others, -torch.inf), 1, keepdim=True)
    same = (labels[anchors][:, None] == labels) & others
    return -((chances * same).sum(1) / same.sum(1)).mean()


def gradients(model):
    return [None if part.grad is None else part.grad.clone() for part in model.parameters()]


def mean_loss_gradients(size):
    """Gradients, and loss, of a mean over rows."""
    model, (inputs, targets) = network(), batch(size)
    torch.manual_seed(size)
    expect_batch(model, size)
    inputs, targets, loss = distributed.own_part(inputs), distributed.own_part(targets), 0.0
    if len(inputs):
        value = nn.functional.mse_loss(model(inputs), targets)
        value.backward()
        loss = float(value.detach())
    distributed.average_gradients(model.parameters(), len(inputs), size)
    return gradients(model), distributed.mean_over_ranks(loss, len(inputs), size)


def whole_batch_gradients(size, only_own_anchors):
    """Gradients of a loss that compares every row with every other, behind a head that sees the gathered rows."""
    model, (inputs, _) = network(), batch(size)
    torch.manual_seed(99)
    head = nn.Linear(8, 8).double()
    expect_batch(model, size)
    own = distributed.own_part(inputs)
    features = distributed.gather_with_gradient(model(own), size)
    rows = torch.arange(size)
    anchors = distributed.own_part(rows) if only_own_anchors else rows
    contrastive(head(features), rows % 2, anchors).backward()
    distributed.average_gradients([*model.parameters(), *head.parameters()], len(own), size)
    return gradients(model) + gradients(head)


def contrastive_stage_gradients(size):
    """Gradients of the SupCon loss of views behind the projection, whose batch norm must see the whole batch."""
    model, (inputs, _) = network(), batch(size)
    torch.manual_seed(98)
    projection = Projection(8).double()
    expect_batch(model, size)
    own = distributed.own_part(inputs)
    rows = torch.arange(size)
    positives = positive_pairs(nn.functional.one_hot(rows // 3).float(), rows // 2)
    loss = whole_batch_loss(projection, model(own), positives, 0.1)
    loss.backward()
    distributed.average_gradients([*model.parameters(), *projection.parameters()], len(own), size)
    statistics = [projection.layers[1].running_mean, projection.layers[1].running_var]
    return [*gradients(model), *gradients(projection), *statistics], float(loss.detach())


def everything():
    """What the helpers give, here and in a single process alike."""
    found = {"mean": {size: mean_loss_gradients(size) for size in SIZES}}
    found["whole"] = {(size, own): whole_batch_gradients(size, own) for size in (5, 7, 8) for own in (True, False)}
    found["supcon"] = {size: contrastive_stage_gradients(size) for size in (7, 12)}
    return found


def talk(rank):
    model = network(seed=rank)
    distributed.broadcast_model(model)
    assert all(torch.equal(one, other) for one, other in zip(model.state_dict().values(), network(0).state_dict().values(), strict=True))
    assert distributed.broadcast_number(0.1 + rank) == 0.1 and distributed.broadcast_number(rank == 0) == 1.0
    assert distributed.broadcast_json({"ä": [1, 2.5, None]} if rank == 0 else None) == {"ä": [1, 2.5, None]}
    assert distributed.own_part(torch.arange(7)).tolist() == ([0, 1, 2] if rank == 0 else [3, 4, 5, 6])
    distributed.BUCKET = 20  # so that gradients travel in several messages
    for wrong in (
        lambda: distributed.gather_with_gradient(torch.zeros(1, 2), 5),
        lambda: distributed.gather_with_gradient(torch.zeros(rank, 2), 1),
    ):
        try:
            wrong()
        except ValueError as error:
            assert "not this rank's part" in str(error)
        else:
            raise AssertionError("was not refused")


def fail_at(which, step, every):
    """Let a rank's training raise at a step; checkpoints are written every so many steps."""
    from tasks.ast_classifier import training

    real = training.batch_loss
    training.CHECKPOINT_EVERY = every

    def broken(trainee, number):
        if number == step and distributed.rank() == which:
            raise ArithmeticError(f"rank {which} fails at step {step}")
        return real(trainee, number)

    training.batch_loss = broken


if __name__ == "__main__" and sys.argv[1] == "math":
    torch.set_num_threads(1)
    with distributed.joined("cpu"):
        assert distributed.world() == 2
        talk(distributed.rank())
        torch.save(everything(), Path(sys.argv[2]) / f"rank-{distributed.rank()}.pt")
    host.leave(0)
elif __name__ == "__main__":
    fail_at(*(int(part) for part in sys.argv[2].split(",")))
    host.leave(host.main(sys.argv[3:]))
