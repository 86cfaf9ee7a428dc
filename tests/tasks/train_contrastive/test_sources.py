import numpy as np
import pytest
import torch
from scipy import signal

from core import audio
from core.errors import InvalidValueError
from tasks.train_contrastive import transforms
from tasks.train_contrastive.sources import Recorded, Synthesised, generator, open_source, two_views
from tasks.train_contrastive.spec import Request, Settings
from tests.tasks.train_contrastive.runs import context_for, recordings, tone


def test_synthesised_pairs_hang_on_their_key_only_and_never_come_twice():
    source = Synthesised(Settings(), seed=1, device="cpu")
    keys = source.keys(0, 4)
    whole, part = source.views(keys), source.views(keys[2:3])
    assert whole.first.shape == (4, 16000) and whole.first.dtype == torch.float32
    assert torch.equal(whole.first[2:3], part.first) and torch.equal(whole.second[2:3], part.second)
    assert not torch.equal(whole.first[0], whole.second[0]) and 0 < whole.saturation < 1
    for name in ("drawn", "first", "second"):
        assert whole.parameters[name].shape == (4, 78)
    every = [key for step in range(20) for key in source.keys(step, 16)] + [key for batch in range(5) for key in source.held_out(batch, 16)]
    assert len(set(every)) == 25 * 16 and source.keys(3, 8) == source.keys(3, 16)[:8]
    other = Synthesised(Settings(delta=0.1), seed=1, device="cpu")
    assert other.digest != source.digest and Synthesised(Settings(layers=1, epochs=7), 2, "cpu").digest == source.digest


def test_delta_frozen_groups_and_one_side_reach_the_synthesiser():
    source = Synthesised(Settings(delta=0.0), 1, "cpu")
    views = source.views(source.keys(0, 2))
    assert torch.equal(views.parameters["first"], views.parameters["second"])
    frozen = tuple({one.name for one in source.synthesiser.parameters} - {source.synthesiser.parameters[0].name})
    views = Synthesised(Settings(delta=0.2, frozen=frozen, one_sided=True), 1, "cpu").views([5, 6])
    assert torch.equal(views.parameters["first"], views.parameters["drawn"])
    changed = (views.parameters["second"] != views.parameters["drawn"]).any(0)
    assert changed.tolist() == [True] + [False] * (len(changed) - 1)


def recorded(root, folder="stages/stratify/aa", **settings):
    recordings(root, folder)
    request = Request(seed=1, clips=folder, settings=Settings(**{"train_fraction": 1.0, **settings}))
    return open_source(request, context_for(root, "source"))


def test_real_clips_short_or_long_give_views_and_every_clip_comes_once_a_pass(tmp_path):
    source = recorded(tmp_path, temporal_jitter=True)
    assert isinstance(source, Recorded) and source.clips == 5
    passes = [source.keys(step, 5) for step in range(3)]
    for keys in passes:
        views = source.views(keys)
        assert views.first.shape == views.second.shape == (5, 16000) and views.saturation is None
        assert sorted(key % 5 for key in keys) == list(range(5))
    assert len({tuple(key % 5 for key in keys) for keys in passes}) > 1, "an order of each pass's own"
    again = recorded(tmp_path, temporal_jitter=True)
    assert torch.equal(again.views(passes[1]).first, source.views(passes[1]).first)
    assert torch.equal(source.views(passes[1][2:3]).second[0], source.views(passes[1]).second[2]), "no batch changes a pair"


def test_with_labels_the_second_view_is_of_another_clip_of_the_label_trained_on_or_looked_at_like_the_first(tmp_path):
    recordings(tmp_path, lengths=(1.0,) * 12, labels=("dog", "rain", "dog"))
    settings = Settings(train_fraction=0.5, positives="label", loss="nt_xent")
    source = open_source(Request(seed=1, clips="stages/stratify/aa", settings=settings), context_for(tmp_path, "source"))
    sounds = {one.clip_id: torch.from_numpy(source.found.read(one)) for one in source.all}
    seen = set()
    for keys in [source.keys(step, 6) for step in range(8)] + [source.held_out(0, 6)]:
        views = source.views(keys)
        for key, first, second in zip(keys, views.first, views.second, strict=True):
            clip = source.all[key % 12]
            part = source.train if clip in source.train else source.rest
            twin = next(one for one in source.all if torch.equal(sounds[one.clip_id], second))
            assert torch.equal(first, sounds[clip.clip_id]) and twin.label == clip.label and twin in part
            assert twin != clip or [one.label for one in part].count(clip.label) == 1
            seen.add((clip.clip_id, twin.clip_id))
        assert source.told(keys[0]) == f"two clips of {source.all[keys[0] % 12].label}"
        assert source.groups(keys).tolist() == [["dog", "rain"].index(source.all[key % 12].label) for key in keys]
    assert len(seen) > 12, "the twin is drawn anew in each pass"
    assert (
        recorded(tmp_path).told(0) == "two views of one clip" and Synthesised(Settings(), 1, "cpu").told(0) == "one sound, perturbed twice"
    )
    assert recorded(tmp_path).groups([0, 1]) is None and Synthesised(Settings(), 1, "cpu").groups([0]) is None


def test_behind_a_view_another_clip_of_its_part_may_sound_and_is_3_to_25_db_below(tmp_path):
    options = {"train_fraction": 0.6, "temporal_jitter": True}
    plain, before = recorded(tmp_path, **options), recorded(tmp_path, background=1.0, **options)
    half = recorded(tmp_path, background=0.5, **options)
    tones = {clip.clip_id: 200 + 150 * number for number, clip in enumerate(sorted(plain.all, key=lambda clip: clip.path.name))}
    behind, touched = set(), 0
    for keys, part in ((plain.keys(0, 3) + plain.keys(1, 3), plain.train), (plain.held_out(0, 2), plain.rest)):
        views, heard, sometimes = plain.views(keys), before.views(keys), half.views(keys)
        both = (torch.cat([found.first, found.second]) for found in (views, heard, sometimes))
        for view, mixed, some in zip(*both, strict=True):
            added = (mixed - view).numpy()
            below_db = 20 * np.log10(float(view.square().mean().sqrt()) / np.sqrt(np.mean(added**2)))
            assert 3 - 1e-3 <= below_db <= 25 + 1e-3
            loudest = int(np.argmax(np.abs(np.fft.rfft(added * np.hanning(len(added))))))
            behind.add(loudest)
            assert any(abs(loudest - tones[clip.clip_id]) <= 2 for clip in part), "trained on, or looked at, like the view"
            touched += not torch.equal(some, view)
            assert torch.equal(some, view) or torch.equal(some, mixed)
    assert len(behind) > 2 and 0 < touched < 16
    assert torch.equal(before.views(plain.keys(0, 3)[1:2]).first[0], before.views(plain.keys(0, 3)).first[1]), "no batch changes a pair"


def test_labels_need_clips_that_have_some_and_a_loss_of_several_positives():
    with pytest.raises(InvalidValueError, match=r"train_contrastive\.positives: no labels"):
        Request(settings=Settings(positives="label", loss="nt_xent"))
    with pytest.raises(InvalidValueError, match=r"train_contrastive\.loss: needs several positives; allowed: nt_xent"):
        Settings(positives="label")
    with pytest.raises(InvalidValueError, match="needs magnitudes"):
        Settings(transform="recording", front_end="simple")


def test_views_are_stretches_of_the_clip():
    sound = np.arange(1, 50_001, dtype=np.float32)
    rng = np.random.default_rng(0)
    same = two_views(sound, 16000, 1, False, rng)
    assert np.array_equal(same[0], same[1]) and np.all(np.diff(same[0]) == 1)
    starts = {float(view[0]) for _ in range(50) for view in two_views(sound, 16000, 1, True, rng)}
    assert len(starts) > 90 and min(starts) >= 1 and max(starts) <= 34_001
    just = two_views(sound[:16000], 16000, 1, True, rng)
    assert np.array_equal(just[0], sound[:16000]) and np.array_equal(just[1], sound[:16000]), "a clip as long as a view has one place"
    short = two_views(sound[:10], 16000, 1, True, rng)[1]
    assert np.array_equal(short[:10], sound[:10]) and not short[10:].any()


def test_layers_are_the_scaled_sum_of_different_seconds():
    sound = np.concatenate([np.full(100, value, np.float32) for value in (1.0, 10.0, 100.0, 1000.0)])
    seen = set()
    for seed in range(40):
        first, second = two_views(sound, 100, 2, False, np.random.default_rng(seed))
        assert np.array_equal(first, second) and float(np.abs(first).max()) == pytest.approx(1.0)
        assert np.ptp(first) == 0, "whole seconds"
        seen.add(first[0])
    first, second = two_views(np.random.default_rng(0).standard_normal(400).astype(np.float32), 100, 3, True, np.random.default_rng(1))
    assert not np.array_equal(first, second)
    quiet = two_views(np.zeros(10, np.float32), 100, 3, True, np.random.default_rng(0))
    assert not quiet[0].any() and quiet[0].shape == (100,)


def test_a_share_of_the_clips_is_only_looked_at(tmp_path):
    source = recorded(tmp_path, train_fraction=0.6)
    trained = {source.identity(key).split(":")[0] for step in range(4) for key in source.keys(step, 3)}
    looked = {source.identity(key).split(":")[0] for key in source.held_out(0, 16)}
    assert len(trained) == 3 and len(looked) == 2 and not trained & looked


def test_held_out_clips_are_refused_and_bad_files_are_counted(tmp_path):
    for split in ("val", "test", ""):
        recordings(tmp_path, f"stages/prepare/{split}x", split=split)
        with pytest.raises(InvalidValueError, match="not train clips"):
            open_source(Request(clips=f"stages/prepare/{split}x"), context_for(tmp_path, "refused"))
    folder = tmp_path / "sounds"
    audio.write(folder / "deep/one.wav", tone(300, 0.5, 44100), 44100)
    (folder / "two.wav").write_bytes(b"no sound")
    said = []
    context = context_for(tmp_path, "folder", lambda kind, values: said.append(values.get("message", "")))
    with pytest.raises(InvalidValueError, match="1 of 2"):
        open_source(Request(folder=str(folder)), context)
    assert any("two.wav" in line for line in said)
    source = open_source(Request(folder=str(folder), settings=Settings(max_reject_fraction=0.5)), context)
    assert source.clips == 1 and source.views(source.keys(0, 2)).first.shape == (2, 16000)
    with pytest.raises(InvalidValueError, match="no sound files"):
        open_source(Request(folder=str(tmp_path / "none")), context)


@pytest.mark.parametrize("kind", ["high", "low"])
def test_filters_are_scipys_butterworth(kind):
    sound = np.random.default_rng(0).standard_normal(4000)
    expected = signal.sosfilt(signal.butter(2, 900, f"{kind}pass", fs=16000, output="sos"), sound)
    assert np.allclose(transforms.passed(torch.from_numpy(sound), 16000, 900.0, kind).numpy(), expected, atol=1e-5)


def test_pitch_shift_moves_a_tone_and_keeps_its_length():
    sound = torch.from_numpy(tone(1000, 1.0))
    for semitones in (-2.0, 0.5, 2.0):
        found = transforms.pitch_shift(sound, semitones)
        spectrum = torch.fft.rfft(found * torch.hann_window(16000)).abs()
        assert len(found) == 16000 and abs(int(spectrum.argmax()) - 1000 * 2 ** (semitones / 12)) < 3
        assert 0.15 < float(found[2000:-2000].abs().max()) < 0.35


def test_rooms_are_convolutions(tmp_path):
    audio.write(tmp_path / "ir.wav", np.array([0.0, 0.5, 0.0, -0.25], np.float32), 16000)
    (response,) = transforms.impulse_responses(str(tmp_path), 16000)
    assert float((response**2).sum()) == pytest.approx(1.0, rel=1e-4)
    sound = torch.randn(50, generator=torch.Generator().manual_seed(0))
    assert np.allclose(transforms.convolved(sound, torch.from_numpy(response)), np.convolve(sound, response)[:50], atol=1e-5)


def test_alterations_hang_on_the_pair_and_not_on_the_batch():
    sounds = torch.randn(6, 4000, generator=torch.Generator().manual_seed(0))
    altered = [
        transforms.alter_waveforms(sounds[rows], 16000, (), [generator("a", row) for row in rows]) for rows in ([0, 1, 2, 3, 4, 5], [4, 2])
    ]
    assert torch.equal(altered[0][[4, 2]], altered[1]) and altered[0].shape == sounds.shape and altered[0].isfinite().all()
    changed = (altered[0] != sounds).any(1)
    assert changed.any(), "four alterations with a chance of a half each"


@pytest.mark.parametrize(("kind", "most_frames", "most_mels"), [("masking", 19, 40), ("specaugment", 4 * 38, 2 * 20)])
def test_masks_lie_on_the_axes_they_are_named_after(kind, most_frames, most_mels):
    features = torch.randn(40, 1, 96, 64, generator=torch.Generator().manual_seed(0))
    found = transforms.mask(features, kind, [generator(kind, row) for row in range(40)])
    masked = found != features
    frames, mels = masked.all(3)[:, 0].sum(1), masked.all(2)[:, 0].sum(1)
    assert int(frames.max()) <= most_frames and int(mels.max()) <= most_mels and int(frames.max()) > 5 and int(mels.max()) > 10
    rest = masked & ~masked.all(3, keepdim=True) & ~masked.all(2, keepdim=True)
    assert not rest.any(), "whole frames and whole mels, nothing else"
    for row in range(40):
        assert torch.allclose(found[row][masked[row]], features[row].mean(), atol=1e-6)
