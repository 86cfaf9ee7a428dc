"""Published LAION-CLAP checkpoints: their exact layout in miniature, a RoBERTa tokenizer in a local hub cache, and fine-tuning."""

import json

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from tokenizers import ByteLevelBPETokenizer

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.clap_model import loading
from tasks.train_clap.spec import Request, Settings
from tasks.train_clap.stage import run

COMMIT = "0123456789abcdef0123456789abcdef01234567"
POSITION_IDS = "text_branch.embeddings.position_ids"
RATE = 48000


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A hub cache with a byte-level BPE tokenizer under the name roberta-base."""
    folder = tmp_path_factory.mktemp("hub") / "models--roberta-base"
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    rng = np.random.default_rng(0)
    text = ["".join(rng.choice(list("abcdefghijklmnop "), 200)) for _ in range(60)] + ["Sound of a dog bark", "Sound of a rain"] * 20
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(
        text, 1200, min_frequency=1, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False
    )
    tokenizer.save_model(str(snapshot))
    (snapshot / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    return folder.parent


@pytest.fixture(autouse=True)
def small_towers(cache, monkeypatch):
    """RoBERTa with one layer and a small vocabulary; names and structure are the published ones."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    small = {**loading.ROBERTA_BASE, "vocab_size": 1300, "num_hidden_layers": 1, "intermediate_size": 64}
    monkeypatch.setattr(loading, "ROBERTA_BASE", small)


@pytest.fixture(scope="module")
def published(cache, tmp_path_factory):
    """The state of a model with random weights."""
    patch = pytest.MonkeyPatch()
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    patch.setattr(constants, "HF_HUB_OFFLINE", True)
    patch.setattr(loading, "ROBERTA_BASE", {**loading.ROBERTA_BASE, "vocab_size": 1300, "num_hidden_layers": 1, "intermediate_size": 64})
    torch.manual_seed(3)
    state = loading.PublishedClap("HTSAT-tiny", "roberta", "cpu").clap.state_dict()
    patch.undo()
    return state


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("position_ids", [False, True])
def test_published_files_load_by_path(published, tmp_path, prefix, position_ids):
    """630k-audioset-best.pt holds {epoch, name, state_dict, optimizer}, names with module. in front and, being old, position_ids."""
    state = {prefix + name: value for name, value in published.items()}
    if position_ids:
        state[prefix + POSITION_IDS] = torch.arange(514)[None]
    path = tmp_path / "630k-audioset-best.pt"
    torch.save({"epoch": 45, "name": "published", "state_dict": state, "optimizer": {"state": {}, "param_groups": []}}, path)
    model, extra = loading.load(path, "HTSAT-tiny", "roberta", "cpu")
    loaded = model.clap.state_dict()
    assert extra == {} and all(torch.equal(loaded[name], value) for name, value in published.items() if name != POSITION_IDS)
    for tower in ("audio_branch.", "text_branch.", "audio_projection.", "text_projection.", "logit_scale_a", "logit_scale_t"):
        assert any(name.startswith(tower) for name in loaded)
    assert not loading.is_compact(path)


def test_texts_are_told_apart_and_padding_does_not_count(published, tmp_path):
    torch.save({"state_dict": published}, tmp_path / "c.pt")
    model, _ = loading.load(tmp_path / "c.pt", "HTSAT-tiny", "roberta", "cpu")
    with torch.no_grad():
        both = model.text_embedding(["Sound of a dog bark", "a much longer text that makes the other one be padded a good deal"])
        alone = model.text_embedding(["Sound of a dog bark", "Sound of a dog bark"])
        tokens = model._tokenizer(["Sound of a dog bark"], padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        as_published = torch.nn.functional.normalize(model.clap.encode_text(tokens, device="cpu"), dim=-1)
    assert both.shape == (2, 512) and torch.allclose(both[0], alone[0], atol=1e-5) and torch.allclose(as_published[0], alone[0], atol=1e-5)
    assert not torch.allclose(both[0], both[1], atol=1e-3) and torch.allclose(both.norm(dim=1), torch.ones(2))


def test_a_single_text_is_embedded_like_one_among_others(published, tmp_path):
    torch.save({"state_dict": published}, tmp_path / "c.pt")
    model, _ = loading.load(tmp_path / "c.pt", "HTSAT-tiny", "roberta", "cpu")
    with torch.no_grad():
        single, among = model.text_embedding(["Sound of a rain"]), model.text_embedding(["Sound of a rain", "Sound of a dog bark"])
    assert single.shape == (1, 512) and torch.allclose(single[0], among[0], atol=1e-5)


def test_the_spectrogram_by_fft_is_the_one_by_matrix():
    model = loading.CompactClap(loading.CompactConfig()).eval()
    extractor = model.clap.audio_branch.spectrogram_extractor
    sounds = torch.randn(2, 32000, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.no_grad():
        fast, slow = extractor(sounds), type(extractor).forward(extractor, sounds)
    assert fast.shape == slow.shape == (2, 1, 251, 513) and torch.allclose(fast, slow, rtol=1e-3, atol=1e-4 * float(slow.max()))


@pytest.mark.parametrize("tower", ["HTSAT-tiny", "PANN-14"])
def test_a_published_tower_hears_by_fft_what_laion_clap_hears_by_matrix(tower):
    torch.manual_seed(5)
    model = loading.PublishedClap(tower, "roberta", "cpu").eval()
    sounds = torch.randn(1, 480_000, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.no_grad():
        fast = model.audio_embedding(sounds)
        del model.clap.audio_branch.spectrogram_extractor.forward  # the instance's own; torchlibrosa's is the class's
        slow = model.audio_embedding(sounds)
    assert fast.shape == (1, 512) and not torch.equal(fast, slow) and torch.allclose(fast, slow, atol=1e-5)


def test_other_towers_and_missing_caches_are_refused(published, tmp_path, monkeypatch):
    with pytest.raises(InvalidValueError, match=r"unknown audio tower.*HTSAT-base"):
        loading.PublishedClap("HTSAT-enormous", "roberta", "cpu")
    with pytest.raises(InvalidValueError, match="unknown text tower"):
        loading.PublishedClap("HTSAT-tiny", "bert", "cpu")
    (tmp_path / "roberta-base").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(InvalidValueError, match=r"not in the local hub cache.*HF_HOME"):
        loading.PublishedClap("HTSAT-tiny", "roberta", "cpu")


def test_a_published_checkpoint_is_fine_tuned_on_the_gold_clips(published, tmp_path):
    rows = []
    for number in range(8):
        path = f"stages/caption/aa/audio/{number}.wav"
        tone = np.sin(2 * np.pi * (300 if number % 2 else 4000) * np.arange(RATE // 2) / RATE) * 0.3
        audio.write(tmp_path / path, tone.astype(np.float32), RATE)
        rows.append(manifest.row(f"{number:016x}", path, "gold", label="low" if number % 2 else "high", split="train", caption="x"))
    manifest.write(tmp_path / "stages/caption/aa", manifest.frame(rows))
    torch.save({"state_dict": published}, tmp_path / "start.pt")
    output = tmp_path / "stages/train_clap/aa"
    output.mkdir(parents=True)
    settings = Settings(steps=2, batch_clips=4, evaluate_every=1, start_from=str(tmp_path / "start.pt"), audio_model="HTSAT-tiny")
    context = Context(output, tmp_path, threads=1, emit=lambda kind, values: None)
    result = run(Request("stages/caption/aa", "stages/none/aa", settings), context)
    assert result.gold_clips == 6 and result.held_out == 2 and result.best_step in (1, 2)
    model, extra = loading.load(output, "ignored", "ignored", "cpu")
    assert extra["published"] == ["HTSAT-tiny", "roberta"] and not loading.is_compact(output)
    changed = [
        name for name, value in model.clap.state_dict().items() if value.is_floating_point() and not torch.equal(value, published[name])
    ]
    assert any(name.startswith("audio_branch.") for name in changed) and any(name.startswith("text_branch.") for name in changed)
