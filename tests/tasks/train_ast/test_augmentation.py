import math

import pytest
import torch

from core.errors import InvalidValueError
from tasks.ast_classifier.augmentation import Augmentation, alter, mix, stretches
from tasks.ast_classifier.fbank import STD
from tasks.ast_classifier.recipe import CPU, PAPER, crop, recipe
from tasks.train_ast.spec import Settings

EVERYTHING = {"roll": 0.5, "gain_db": 10.0, "masked_frames": 20, "masked_mels": 16}


def generator(seed=3):
    return torch.Generator().manual_seed(seed)


def banks(clips=6, frames=100):
    """Every number tells its clip, frame and mel."""
    return torch.arange(clips * frames * 128).reshape(clips, frames, 128).float() + 1


def test_plain_training_alters_nothing_in_either_preset():
    for preset in ("cpu", "paper"):
        plan = recipe(Settings(preset=preset), 50)
        assert plan.augmentation == Augmentation() == Augmentation(0.0, 0.0, 0, 0) and plan.mixup == 0.0
    clips, rows = banks(), torch.tensor([4, 0, 0])
    seen = alter(stretches(clips, torch.full((6,), 100), rows, 100, 0.0, generator()), Augmentation(), generator())
    assert torch.equal(seen, clips[rows])
    targets = torch.eye(3)
    assert all(torch.equal(one, other) for one, other in zip(mix(seen, targets, 0.0, generator()), (seen, targets), strict=True))


def test_everything_is_seeded_and_each_clip_has_its_own():
    clips, rows, lengths = banks(), torch.zeros(5, dtype=torch.long), torch.full((6,), 100)
    made = [
        alter(stretches(clips, lengths, rows, 40, 0.5, generator(seed)), Augmentation(**EVERYTHING), generator(seed)) for seed in (3, 3, 4)
    ]
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    assert made[0].shape == (5, 40, 128) and not torch.equal(made[0][0], made[0][1])


def test_stretches_are_pieces_of_the_sound_anywhere_in_it():
    clips, lengths = banks(), torch.tensor([100, 100, 30, 60, 100, 100])
    rows = torch.tensor([0] * 300 + [3] * 300 + [2] * 20)
    seen = stretches(clips, lengths, rows, 40, 0.0, generator())
    starts = ((seen[:, 0, 0] - 1) / 128).long() - rows * 100
    for piece, row, start in zip(seen, rows, starts, strict=True):
        assert torch.equal(piece, clips[row, start : start + 40])
    assert starts[:300].min() == 0 and starts[:300].max() == 60 and starts[300:600].max() == 20, "up to the last frame of the sound"
    assert not starts[600:].any(), "a clip shorter than the stretch is taken from its beginning"


def test_roll_is_circular_and_bounded():
    clips, rows = banks(1, 50), torch.zeros(200, dtype=torch.long)
    seen = stretches(clips, torch.tensor([50]), rows, 50, 0.1, generator())
    shifts = [next(shift for shift in range(-25, 25) if torch.equal(piece, clips[0].roll(shift, 0))) for piece in seen]
    assert set(shifts) == set(range(-5, 6))


def test_gain_is_that_many_decibels_of_power():
    seen = alter(torch.zeros(500, 4, 128), Augmentation(gain_db=10.0), generator())
    gains_db = seen[:, 0, 0] * 2 * STD * 10 / math.log(10)
    assert torch.equal(seen, seen[:, :1, :1].expand_as(seen))
    assert -10 <= gains_db.min() < -9.5 and 9.5 < gains_db.max() <= 10


def test_masks_are_one_span_of_frames_and_one_of_mels_up_to_their_widths():
    seen = alter(torch.ones(4000, 60, 40), Augmentation(masked_frames=20, masked_mels=16), generator()) == 0
    frames, mels = seen.all(2), seen.all(1)
    assert torch.equal(seen, frames[:, :, None] | mels[:, None])
    for spans, widest in ((frames, 20), (mels, 16)):
        assert set(spans.sum(1).tolist()) == set(range(widest + 1))
        assert ((spans[:, 1:] & ~spans[:, :-1]).sum(1) + spans[:, 0] <= 1).all(), "one span"
        assert spans.any(0).all(), "anywhere"
    assert alter(torch.ones(3, 5, 128), Augmentation(masked_frames=96), generator()).shape == (3, 5, 128), "wider than the clip"


def test_mixup_mixes_clips_and_targets_alike_in_a_share_of_the_batches():
    clips, targets, mixed = torch.eye(4)[:, None], torch.eye(4), 0
    for seed in range(200):
        found, wanted = mix(clips, targets, 0.3, generator(seed))
        assert torch.allclose(found[:, 0], wanted) and torch.allclose(wanted.sum(1), torch.ones(4))
        assert (wanted.diag() >= 0.5).all()
        mixed += not torch.equal(found, clips)
    assert 35 < mixed < 80


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"crop_frames": 8}, {"roll": 1.5}, {"masked_mels": 129}, {"gain_db": -1.0}, {"supcon_views": 1}, {"label_smoothing": 1}):
        with pytest.raises((InvalidValueError, TypeError), match=next(iter(wrong))):
            Settings(**wrong)
    with pytest.raises(InvalidValueError, match="two_stage"):
        Settings(supcon="joint", mixup=0.5)


def test_presets_decide_what_the_settings_leave_open():
    assert crop(Settings(crop_frames=256), 512) == 256 and crop(Settings(crop_frames=999), 512) == 512
    assert crop(Settings(), 512) == (CPU.crop_frames or 512) and crop(Settings(preset="paper"), 512) == 512
    assert recipe(Settings(), 50).steps == CPU.steps and recipe(Settings(steps=7, batch_clips=5), 50).batch_clips == 5
    assert recipe(Settings(preset="paper"), 50).steps == PAPER.epochs * 2
    assert recipe(Settings(label_separator=";"), 50).label_smoothing == 0
    after = recipe(Settings(preset="paper", supcon="two_stage"), 50).augmentation
    assert (after.masked_frames, after.masked_mels) == (96, 24), "the published second stage masks"
