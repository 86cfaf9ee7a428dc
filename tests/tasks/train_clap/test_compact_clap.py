import numpy as np
import pytest
import torch

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.clap_model import loading
from tasks.clap_model.windows import MAX_WINDOWS, template, windows
from tasks.train_clap.contrastive_loss import contrastive_loss
from tasks.train_clap.spec import Request, Settings
from tasks.train_clap.stage import Clip, hold_out, run

RATE = 16000


def sound(kind, seed, seconds=1.0):
    rng, times = np.random.default_rng(seed), np.arange(int(seconds * RATE)) / RATE
    if kind == "hum":
        made = np.sin(2 * np.pi * rng.uniform(100, 200) * times)
    elif kind == "whistle":
        made = np.sin(2 * np.pi * rng.uniform(2500, 4000) * times)
    else:
        made = rng.standard_normal(len(times))
    return (0.2 * made / np.abs(made).max()).astype(np.float32)


def dataset(root, folder, kinds, count):
    rows = []
    for kind in kinds:
        for number in range(count):
            path = f"{folder}/audio/{kind}{number}.wav"
            audio.write(root / path, sound(kind, number), RATE)
            rows.append(
                manifest.row(manifest.clip_id(folder, kind, number), path, "gold", label=kind, caption=f"a {kind} sound", split="train")
            )
    manifest.write(root / folder, manifest.frame(rows))


def test_model_learns_to_tell_three_sounds_and_writes_a_clap_checkpoint(tmp_path):
    dataset(tmp_path, "stages/caption/aa", ("hum", "whistle", "hiss"), 6)
    dataset(tmp_path, "stages/synthesize_captioned/aa", ("hum", "whistle", "hiss"), 4)
    output = tmp_path / "stages/train_clap/aa"
    output.mkdir(parents=True)
    settings = Settings(steps=40, batch_clips=12, evaluate_every=10)
    context = Context(output, tmp_path, threads=1, emit=lambda kind, values: None)
    result = run(Request("stages/caption/aa", "stages/synthesize_captioned/aa", settings), context)
    assert result.held_out == 3 and result.gold_clips == 15
    model, extra = loading.load(output, "HTSAT-base", "roberta", "cpu")
    assert extra["labels"] == ["hiss", "hum", "whistle"]
    with torch.no_grad():
        texts = model.text_embedding([template(label) for label in extra["labels"]])
        fresh = [(kind, model.audio_embedding(windows(sound(kind, 100 + seed), 2 * RATE))) for kind in extra["labels"] for seed in range(4)]
    right = [extra["labels"][int((embedded @ texts.T).mean(0).argmax())] == kind for kind, embedded in fresh]
    assert np.mean(right) > 0.6, "three classes, so chance is one third"
    saved = torch.load(output / loading.WEIGHTS, weights_only=True)
    assert set(saved) >= {"state_dict"} and "logit_scale_a" in saved["state_dict"]


def test_loss_is_infonce_for_distinct_groups_and_shares_the_target_within_groups():
    rng = np.random.default_rng(0)
    audio_np, text_np = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.standard_normal((2, 5, 8)))
    logits = 7.0 * audio_np @ text_np.T

    def log_softmax(x):
        return x - np.log(np.exp(x).sum(1, keepdims=True))

    arguments = [torch.tensor(x) for x in (audio_np, text_np)] + [torch.tensor(7.0)]
    infonce = -(np.diag(log_softmax(logits)).mean() + np.diag(log_softmax(logits.T)).mean()) / 2
    assert float(contrastive_loss(*arguments, torch.arange(5))) == pytest.approx(infonce)
    groups = np.array([0, 0, 1, 2, 1])
    same = groups[:, None] == groups[None]
    share = same / same.sum(1, keepdims=True)
    expected = -((share * log_softmax(logits)).sum(1).mean() + (share * log_softmax(logits.T)).sum(1).mean()) / 2
    assert float(contrastive_loss(*arguments, torch.tensor(groups))) == pytest.approx(expected)


def test_hold_out_is_stratified_seeded_and_keeps_small_classes():
    clips = [
        Clip(f"{label}{i}", label, np.zeros(1, np.float32), []) for label, count in (("a", 10), ("b", 5), ("c", 2)) for i in range(count)
    ]
    kept, held = hold_out(clips, 0.2, 0)
    assert sorted(clip.label for clip in held) == ["a", "a", "b"] and len(kept) == 14
    assert [clip.clip_id for clip in hold_out(clips[::-1], 0.2, 0)[1]] == [clip.clip_id for clip in held]


def test_windows_are_the_same_every_time():
    long = np.arange(10 * RATE, dtype=np.float32)
    cut = windows(long, 2 * RATE)
    assert cut.shape == (MAX_WINDOWS, 2 * RATE) and cut[0, 0] == 0 and cut[-1, -1] == long[-1] and torch.equal(cut, windows(long, 2 * RATE))
    short = windows(np.ones(3, np.float32), 10)
    assert short.shape == (1, 10) and short[0].tolist() == [1] * 9 + [0]


def test_empty_tokenizer_is_refused():
    with pytest.raises(InvalidValueError, match="empty tokenizer"):
        loading.check_vocabulary(5)
    loading.check_vocabulary(50265)


@pytest.mark.parametrize("extra", [{}, {"text_branch.embeddings.position_ids": torch.arange(4)}])
def test_checkpoints_load_with_and_without_position_ids_and_module_prefix(tmp_path, extra):
    model = loading.CompactClap(loading.CompactConfig())
    state = {f"module.{name}": value for name, value in {**model.clap.state_dict(), **extra}.items()}
    torch.save({"state_dict": state}, tmp_path / "c.pt")
    other = loading.CompactClap(loading.CompactConfig())
    loading.load_weights(other.clap, tmp_path / "c.pt")
    assert torch.equal(other.clap.state_dict()["audio_projection.0.weight"], model.clap.state_dict()["audio_projection.0.weight"])


def test_pickles_and_foreign_weights_are_refused(tmp_path):
    torch.save({"state_dict": {"x": torch.zeros(1)}}, tmp_path / "foreign.pt")
    torch.save({"state_dict": {}, "code": pytest.raises}, tmp_path / "pickle.pt")
    model = loading.CompactClap(loading.CompactConfig())
    with pytest.raises(InvalidValueError, match="does not fit"):
        loading.load_weights(model.clap, tmp_path / "foreign.pt")
    with pytest.raises(InvalidValueError, match="cannot be loaded safely"):
        loading.load_weights(model.clap, tmp_path / "pickle.pt")
