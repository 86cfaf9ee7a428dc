import numpy as np
import torch

from tasks.contrastive.features import VGGISH_OFFSET, front_end
from tasks.train_contrastive import recording
from tasks.train_contrastive.sources import generator
from tests.tasks.train_contrastive.runs import tone


def generators(*names):
    return [generator(1, "alter", name) for name in names]


def test_a_pair_hangs_on_its_generator_only_and_the_features_stay():
    features = front_end("vggish")(torch.from_numpy(np.stack([tone(400, 1), tone(900, 1), tone(2000, 1)])))
    before = features.clone()
    whole = recording.recorded_anew(features, VGGISH_OFFSET, generators("a", "b", "c"))
    alone = recording.recorded_anew(features[1:2], VGGISH_OFFSET, generators("b"))
    assert torch.equal(features, before) and whole.shape == features.shape and torch.equal(whole[1:2], alone)
    assert not torch.equal(recording.recorded_anew(features, VGGISH_OFFSET, generators("d", "e", "f")), whole)


def test_a_loud_band_moves_by_gain_and_response_and_silence_gets_a_floor_in_its_range():
    loud = torch.full((400, 1, 96, 64), float(np.log(100 + VGGISH_OFFSET)))
    moved = recording.recorded_anew(loud, VGGISH_OFFSET, [np.random.default_rng(seed) for seed in range(400)])
    change_db = 20 * (moved.exp() / 100).log10().mean(2)[:, 0]  # [pairs, mels]
    level = change_db.mean(1)
    assert abs(float(level.mean())) < 1.5 and 7 < float(level.std()) < 10, "a gain between −14 and 14 dB has a deviation of 8.1 dB"
    response = change_db - level[:, None]
    assert 2 < float(response.std()) < 4.5 and float(response.diff(dim=1).abs().max()) < 2, "smooth over the mels"
    silent = recording.recorded_anew(torch.full((400, 1, 96, 64), float(np.log(VGGISH_OFFSET))), VGGISH_OFFSET,
                                     [np.random.default_rng(seed) for seed in range(400)])  # fmt: skip
    floor_db = 10 * ((silent.exp() - VGGISH_OFFSET).clamp(min=0).square().mean((1, 2, 3))).log10()
    assert -65 < float(floor_db.min()) < -50 and -16 < float(floor_db.max()) < 0


def test_the_noise_is_rayleigh_distributed():
    factor, noise = recording._draw(np.random.default_rng(3), 4000, 64)
    assert factor.shape == (1, 64) and noise.shape == (4000, 64)
    assert np.allclose(noise.std(0) / noise.mean(0), np.sqrt(4 / np.pi - 1), rtol=0.08)
