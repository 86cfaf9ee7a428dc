import numpy as np
import pytest
import torch
import torchaudio

from core.errors import InvalidValueError
from tasks.audio_models import efficient_at
from tasks.audio_models.efficient_at import EfficientAT, Spectrogram, windows
from tasks.audio_models.interface import AudioModel, reduced
from tasks.audio_models.mobilenet import MobileNet, divisible
from tasks.audio_models.opening import PUBLISHED, WITH_WEIGHTS, open_audio_model
from tasks.contrastive.embedder import Embedder
from tasks.contrastive.encoder import random_encoder, save


def noise(sounds, samples, seed=0):
    return torch.randn(sounds, samples, generator=torch.Generator().manual_seed(seed)) * 0.1


def test_mel_statistics_of_sounds_that_can_be_worked_out():
    model = open_audio_model("mel")
    assert isinstance(model, AudioModel) and (model.sample_rate_hz, model.dimensions, model.includes_mel) == (32000, 256, True)
    sine = torch.sin(torch.arange(32000) * 2 * np.pi * 1000 / 32000)
    found = model(torch.stack([sine * 0, sine, sine / 10]))
    assert found.shape == (3, 256) and found.dtype == torch.float32
    assert torch.allclose(found[0, :128], torch.tensor((np.log(1e-5) + 2) / 5, dtype=torch.float32)) and not found[0, 128:].any()
    loudest = int(found[1, :128].argmax())
    # A tenth of the amplitude is a hundredth of the power; the two half frames at the ends are alike.
    assert float(found[1, loudest] - found[2, loudest]) == pytest.approx(np.log(100) / 5, abs=1e-3)
    spectrum = torch.stft(sine, 2048, 1024, window=torch.hann_window(2048), pad_mode="constant", return_complex=True).abs().double() ** 2
    banks = torchaudio.functional.melscale_fbanks(1025, 20.0, 16000.0, 128, 32000, "slaney", "slaney").double()
    levels = (torch.log(spectrum.T @ banks + 1e-5) + 2) / 5
    expected = torch.cat([levels.mean(0), levels.std(0, correction=0)])
    assert torch.allclose(found[1].double(), expected, atol=1e-4)


def test_a_vector_hangs_on_its_sound_alone():
    model, sounds = open_audio_model("mel"), noise(5, 16000)
    assert torch.equal(model(sounds)[3:4], model(sounds[3:4])) and torch.equal(model(sounds), model(sounds))


def test_reductions():
    moments = noise(2, 12).reshape(2, 4, 3)
    assert torch.equal(reduced(moments, "none"), moments) and torch.allclose(reduced(moments, "avg"), moments.sum(1) / 4)
    assert torch.equal(reduced(moments, "max"), moments.max(1).values)
    average, highest, every = (open_audio_model("mel128", reduction=how) for how in ("avg", "max", "none"))
    assert (average.sample_rate_hz, average.dimensions) == (44100, 128)
    sounds = noise(2, 8000)
    levels = every(sounds)
    assert levels.shape == (2, 1 + 8000 // 1024, 128)
    assert torch.allclose(average(sounds), levels.mean(1)) and torch.equal(highest(sounds), levels.amax(1))
    assert (average.identity, highest.identity) == ("mel128", "mel128/max")


def test_an_encoder_of_the_project_listens_as_embed_does(tmp_path):
    encoder = random_encoder(3, {"front_end": "simple", "sample_rate_hz": 8000, "dimensions": 6, "width": 4})
    save(tmp_path, encoder, {})
    model = open_audio_model(f"doppelgangers:{tmp_path}")
    assert (model.sample_rate_hz, model.dimensions, model.includes_mel) == (8000, 6, False)
    assert model.identity.startswith("doppelgangers:") and model.identity == open_audio_model(f"doppelgangers:{tmp_path}/model.pt").identity
    sounds = noise(3, 20001)
    expected = np.stack([Embedder(encoder).clip(sound.numpy())[0] for sound in sounds])
    assert torch.allclose(model(sounds), torch.from_numpy(expected), atol=1e-5) and not model(sounds).requires_grad


@pytest.mark.parametrize(
    ("name", "millions"), [("mn04", 0.983), ("mn05", 1.43), ("mn10", 4.88), ("mn20", 17.91), ("mn30", 39.09), ("mn40", 68.43)]
)
def test_networks_have_the_published_sizes(name, millions):
    with torch.device("meta"):
        network = MobileNet(efficient_at.WIDTHS[name])
    digits = 3 if name == "mn04" else 2
    assert int(sum(part.numel() for part in network.parameters()) / 1e6 * 10**digits + (digits == 2) / 2) / 10**digits == millions


def test_embeddings_have_the_published_widths():
    found = {name: EfficientAT(name).dimensions for name in ("mn04", "mn04_mel", "mn20", "mn20_mel")}
    assert found == {"mn04": 192, "mn04_mel": 320, "mn20": 944, "mn20_mel": 1072}
    assert [divisible(value) for value in (1.6, 16 * 0.4, 24 * 0.4, 112 * 0.4, 40 * 0.4)] == [8, 8, 16, 48, 16]


def test_windows_are_cut_every_50_ms_with_mirrored_ends():
    sound = noise(1, 160000)
    cut = windows(sound)
    assert cut.shape == (1, 101, 5120)
    assert torch.equal(cut[0, 0, 2560:], sound[0, :2560]) and torch.equal(cut[0, 0, :2560], sound[0, 1:2561].flip(0))
    assert torch.equal(cut[0, 10], sound[0, 10 * 1600 - 2560 : 10 * 1600 + 2560]) and torch.equal(cut[0, 100, :2560], sound[0, -2560:])
    assert windows(sound[:, :100]).shape == (1, 2, 5120)
    longer = windows(sound, 640)
    assert longer.shape == (1, 101, 20480) and torch.equal(longer[0, 10, 7680:12800], cut[0, 10])


def test_the_front_end_against_numpy():
    sound = noise(1, 5120)[0]
    levels = Spectrogram()(sound[None])[0].numpy()
    emphasised = (sound[1:] - 0.97 * sound[:-1]).double().numpy()
    padded = np.pad(emphasised, 512, mode="reflect")
    window = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 799), 112)
    power = np.stack([np.abs(np.fft.rfft(padded[at : at + 1024] * window)) ** 2 for at in range(0, len(padded) - 1023, 320)], 1)
    # Kaldi's triangles are straight over mel = 1127 ln(1 + f / 700).
    mel = 1127 * np.log1p(np.arange(513) * 32000 / 1024 / 700)
    edges = np.linspace(0, 1127 * np.log1p(15000 / 700), 130)
    rising, falling = (mel - edges[:-2, None]) / (edges[1] - edges[0]), (edges[2:, None] - mel) / (edges[1] - edges[0])
    banks = np.maximum(0, np.minimum(rising, falling))
    banks[:, 512] = 0
    expected = (np.log(banks @ power + 1e-5) + 4.5) / 5
    assert levels.shape == (128, 16) and np.allclose(levels, expected, atol=2e-3)


def test_weights_are_loaded_strictly(tmp_path):
    torch.manual_seed(0)
    network = MobileNet(0.1)
    state = network.state_dict()
    # In a network of full width, where every block expands, but for the first.
    with torch.device("meta"):
        names = set(MobileNet(1.0).state_dict())
    assert {"features.0.0.weight", "features.4.block.2.conc_se_layers.0.fc1.weight", "features.1.block.1.1.running_var"} <= names
    assert {"features.16.1.bias", "classifier.2.weight", "classifier.5.bias"} <= names
    torch.save(state, tmp_path / "mn01.pt")
    model, sounds = open_audio_model(f"mn01_mel:{tmp_path / 'mn01.pt'}"), noise(2, 8000)
    assert model.dimensions == sum(network.channels[place] for place in (5, 11, 13, 15)) + 128 and model.identity.startswith("mn01_mel:")
    found = model(sounds)
    levels = Spectrogram()(windows(sounds)[1])
    x, means = levels[:, None], []
    for place, layer in enumerate(network.eval().features):
        x = layer(x)
        means += [x.mean((2, 3))] if place in (5, 11, 13, 15) else []
    expected = torch.cat([*means, levels.mean(-1)], 1).mean(0)
    assert torch.allclose(found[1], expected, atol=1e-5) and not found.requires_grad
    assert model.network(levels[:, None]).shape == (len(levels), 527)
    for wrong in ({name: part for name, part in state.items() if "classifier" not in name}, {**state, "more": torch.zeros(1)}):
        torch.save(wrong, tmp_path / "wrong.pt")
        with pytest.raises(InvalidValueError, match="another network"):
            open_audio_model(f"mn01:{tmp_path / 'wrong.pt'}")
    with pytest.raises(InvalidValueError, match="another network"):
        open_audio_model(f"mn04:{tmp_path / 'mn01.pt'}")


@pytest.mark.parametrize("wrong", ["mell", "mel:x", "passt", "audiomae_16k", ""])
def test_models_that_cannot_be_opened(wrong):
    with pytest.raises(InvalidValueError):
        open_audio_model(wrong)


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_weights_that_are_not_there(name, tmp_path):
    for path in ("", ":", ":nowhere.pt", f":{tmp_path}"):
        with pytest.raises(InvalidValueError):
            open_audio_model(name + path)


@pytest.mark.parametrize("name", PUBLISHED)
def test_files_that_hold_no_weights(name, tmp_path):
    (tmp_path / "page.pt").write_text("<!DOCTYPE html> Google Drive can't scan this file for viruses")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save({"model": {}, "run": print}, tmp_path / "code.pt")
    for file in ("page.pt", "empty.pt", "code.pt"):
        with pytest.raises(
            InvalidValueError, match=r"not a file of weights.*page|not a file of weights.*empty|not a file of weights.*code"
        ):
            open_audio_model(f"{name}:{tmp_path / file}")
    assert {"mn20_mel", "passt_s", "openl3_mel256_6144", "audiomae"} < set(PUBLISHED) < set(WITH_WEIGHTS)


def test_sounds_of_another_shape_are_refused():
    for wrong in (torch.zeros(10), torch.zeros(2, 0), torch.zeros(1, 2, 10)):
        with pytest.raises(InvalidValueError, match="sounds, samples"):
            open_audio_model("mel128")(wrong)
    with pytest.raises(InvalidValueError, match="reduction"):
        open_audio_model("mel", reduction="max")
    with pytest.raises(InvalidValueError, match="reduction"):
        open_audio_model("mel128", reduction="last")
