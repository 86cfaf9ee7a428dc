"""A training that is cut off, for tests of its resumption."""

from contextlib import contextmanager

import pytest


@contextmanager
def cut_off_at_loss(monkeypatch, trainee, number=5):
    """Expect the block to be killed when the class ``trainee`` asks for its fifth loss; checkpoints are written behind every step."""
    real, calls = trainee._loss, []

    def killed(self, generator):
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return real(self, generator)

    with monkeypatch.context() as patched:
        patched.setattr(trainee, "_loss", killed)
        patched.setattr("tasks.training.loop.CHECKPOINT_EVERY_S", -1.0)
        with pytest.raises(KeyboardInterrupt):
            yield
