"""A checkpoint in the layout of the published ones listens: its width, rate, window, and to which file its identity belongs."""

import numpy as np
import pytest
import torch

from core import keys
from core.errors import InvalidValueError
from tasks.clap_model import loading
from tasks.clap_model.audio_model import open_clap
from tests.tasks.train_clap.test_published_clap import cache, published, small_towers  # noqa: F401 - fixtures


def test_five_seconds_are_heard_twice_in_one_window(published, tmp_path):  # noqa: F811
    path = tmp_path / "tiny.pt"
    torch.save({"state_dict": published}, path)
    ear = open_clap(path, "HTSAT-tiny", "roberta", "cpu")
    assert (ear.dimensions, ear.sample_rate_hz, ear.window_s) == (512, 48000, 10.0)
    assert ear.identity == f"clap:{keys.file_digest(path)[:16]}"
    sounds = np.random.default_rng(0).normal(0, 0.1, (2, 240_000)).astype(np.float32)
    found = ear(torch.from_numpy(sounds))
    model, _ = loading.load(path, "HTSAT-tiny", "roberta", "cpu")
    with torch.inference_mode():
        expected = torch.cat([model.audio_embedding(torch.from_numpy(np.concatenate([sound, sound]))[None]) for sound in sounds])
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-5) and found.norm(dim=1).numpy() == pytest.approx(1, abs=1e-5)
    with pytest.raises(InvalidValueError, match="does not fit"):
        open_clap(path, "HTSAT-base", "roberta", "cpu")
