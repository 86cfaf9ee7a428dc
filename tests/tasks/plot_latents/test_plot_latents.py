"""On a small grid in the format of synthesize_grid and featurise, with an untrained network."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile
import torch
import torchaudio
from PIL import Image
from scipy import signal

from core import atomic
from core.context import Context
from core.errors import InvalidValueError
from tasks.grid.features import open_features
from tasks.grid.mel import MelFrontEnd
from tasks.grid.reading import Factor
from tasks.plot_latents import choice, panels, tiles
from tasks.plot_latents.sound import load_vocoder
from tasks.plot_latents.spec import Request, Settings
from tasks.plot_latents.stage import run, walks
from tasks.vae_models import network

RATE, SAMPLES, N_FFT, HOP, MELS, FRAMES = 8000, 1800, 512, 256, 16, 8
WAVES = ("sine", "square", '<i>"saw"')
FREQUENCIES, AMPLITUDES = (300.0, 600.0, 1200.0, 2400.0), (0.1, 0.5, 1.0)
FLOOR_DB = -80.0
SETTINGS = {"griffin_lim_iterations": 3, "samples": 2, "gif_samples": 3, "steps": 4}


def shapes(wave, frequency):
    phase = 2 * np.pi * frequency * np.arange(SAMPLES) / RATE
    return {"sine": np.sin(phase), "square": signal.square(phase)}.get(wave, signal.sawtooth(phase))


def write_grid(folder, cells):
    """The files of synthesize_grid, form parquet."""
    sounds = np.stack([amplitude * shapes(WAVES[wave], frequency) for frequency, amplitude, wave in cells]).astype(np.float32)
    (folder / "shards").mkdir(parents=True)
    column = pa.FixedSizeListArray.from_arrays(pa.array(sounds.ravel()), SAMPLES)
    pa.parquet.write_table(pa.table({"samples": column}), folder / "shards/0.parquet")
    factors = [
        {"name": "frequency", "kind": "continuous", "unit": "Hz", "values": list(FREQUENCIES)},
        {"name": "amplitude", "kind": "continuous", "values": list(AMPLITUDES)},
        {"name": "phase", "kind": "continuous", "unit": "rad", "values": [0.0]},
        {"name": "waveform", "kind": "nominal", "values": list(WAVES)},
    ]
    table = pd.DataFrame(cells, columns=["frequency", "amplitude", "waveform"]).assign(phase=0.0)
    table.insert(0, "index", range(len(table)))
    table.to_parquet(folder / "factors.parquet", index=False)
    description = {
        "sample_rate_hz": RATE, "samples": SAMPLES, "clips": len(cells), "shards": ["shards/0.parquet"], "shard_rows": [[0, len(cells)]],
        "form": "parquet", "factors": factors,
    }  # fmt: skip
    atomic.write_json(folder / "grid.json", description)
    return sounds, table, factors


def write_features(folder, sounds, table, factors, normalisation="log_db"):
    folder.mkdir(parents=True)
    front_end = MelFrontEnd(RATE, N_FFT, HOP, MELS)
    power, reference = front_end(torch.from_numpy(sounds)).numpy(), front_end.ceiling()
    if normalisation == "log_db":
        values, undo = (
            np.clip(10 * np.log10(np.maximum(power / reference, 1e-8)) / -FLOOR_DB + 1, 0, 1),
            {"offset": FLOOR_DB, "scale": -FLOOR_DB},
        )
    else:
        values, undo = power / power.max(axis=1, keepdims=True).clip(1e-9), {"offset": 0.0, "scale": 1.0}
    np.save(folder / "features.npy", values[:, None].astype(np.float32))
    split = np.where(table["frequency"] == FREQUENCIES[2], "test", "train")
    table.assign(split=split).to_parquet(folder / "factors.parquet", index=False)
    description = {
        "sample_rate_hz": RATE, "n_fft": N_FFT, "hop": HOP, "mels": MELS, "frames": FRAMES, "samples": SAMPLES, "power": 2.0,
        "f_min_hz": 0.0, "f_max_hz": None, "normalisation": normalisation, "reference_power": reference, **undo,
        "flagged": [], "factors": factors,
    }  # fmt: skip
    atomic.write_json(folder / "features.json", description)


def write_model(folder, clips, latent=3):
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    network.save(folder, network.VAEDeep(latent, MELS, FRAMES), {"method": "vae", "seed": 0})
    codes = np.random.default_rng(0).standard_normal((clips, latent)).astype(np.float32)
    np.savez(folder / "codes.npz", mean=codes, log_variance=np.zeros_like(codes))


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("plot")
    cells = [(frequency, amplitude, wave) for frequency in FREQUENCIES for amplitude in AMPLITUDES for wave in range(len(WAVES))]
    sounds, table, factors = write_grid(root / "stages/synthesize_grid/aa", cells)
    write_features(root / "stages/featurise/aa", sounds, table, factors)
    write_features(root / "stages/featurise/legacy", sounds, table, factors, "legacy_frame_max")
    write_model(root / "stages/train_vae/aa", len(cells))
    return root


def plotted(root, name, features="aa", vocoder="", **settings):
    output = root / "stages/plot_latents" / name
    output.mkdir(parents=True)
    seen = []
    context = Context(output, root, threads=1, emit=lambda kind, values: seen.append((kind, values)))
    paths = (f"stages/train_vae/{'aa'}", f"stages/featurise/{features}", "stages/synthesize_grid/aa")
    result = run(Request(*paths, vocoder, Settings(**{**SETTINGS, **settings})), context)
    return output, result, json.loads((output / "pictures.json").read_text()), seen


@pytest.fixture(scope="module")
def made(data_root):
    return plotted(data_root, "aa")


def test_everything_that_is_listed_is_there_and_the_other_way_round(made):
    output, result, listed, seen = made

    def names(value):
        if isinstance(value, dict):
            return {name for item in value.values() for name in names(item)}
        if isinstance(value, list):
            return {name for item in value for name in names(item)}
        return {value} if isinstance(value, str) and value.endswith((".png", ".svg", ".gif", ".wav")) else set()

    found = {path.name for path in output.iterdir()} - {"pictures.json"}
    # The responses are listed as the drawing that pages show; the same on white lies beside it.
    assert names(listed) | {"responses.png"} == found
    assert result.sounds == sum(name.endswith(".wav") for name in found) == 3 * 3 + 2 + 3 * 4
    assert result.pictures == sum(not name.endswith(".wav") for name in found)
    assert (len(listed["reconstructions"]), len(listed["samples"]), len(listed["traversals"])) == (len(WAVES), 2, 3)
    assert seen[-1][1]["done"] == seen[-1][1]["total"]


def test_reconstructions_are_of_held_out_clips_one_of_each_class(data_root, made):
    output, result, listed, _ = made
    table = pd.read_parquet(data_root / "stages/featurise/aa/factors.parquet")
    rows = [entry["clip"] for entry in listed["reconstructions"]]
    assert set(table.loc[rows, "split"]) == {"test"} and list(table.loc[rows, "waveform"]) == [0, 1, 2] and result.heldout_split == "test"
    assert result.base_clip in rows
    for entry, wave in zip(listed["reconstructions"], WAVES, strict=True):
        amplitude = table.loc[entry["clip"], "amplitude"]
        assert entry["title"].startswith(f"frequency 1200 Hz · amplitude {amplitude:.3g} · {wave}"), "units, and only what varies"
        samples, rate_hz = soundfile.read(output / entry["original_wav"])
        expected = amplitude * shapes(wave, 1200.0)
        assert rate_hz == RATE and np.abs(samples - expected).max() < 1e-4
        for kind in ("resynthesis", "reconstruction"):
            assert len(soundfile.read(output / entry[f"{kind}_wav"])[0]) == SAMPLES


def test_traversals_start_from_the_base_clip_for_every_dimension_anew():
    start, values = np.array([0.5, -1.0, 2.0], np.float32), np.linspace(-3, 3, 5, dtype=np.float32)
    walked = walks(start, values)
    for dimension in range(3):
        for step in range(5):
            expected = start.copy()
            expected[dimension] = values[step]
            assert (walked[dimension, step] == expected).all()


def test_traversals_hold_what_the_decoder_makes_of_the_walked_codes(data_root, made):
    output, result, listed, _ = made
    features = open_features(data_root / "stages/featurise/aa")
    model = network.load(data_root / "stages/train_vae/aa")
    code = model.encode(torch.from_numpy(np.array(features.array[result.base_clip][None])))[0][0]
    entry = listed["traversals"][1]
    assert entry["values"] == pytest.approx([-3, -1, 1, 3]) and entry["base"] == pytest.approx(float(code[1]), abs=1e-6)
    colours = []
    for value in entry["values"]:
        walked = code.clone()
        walked[1] = value
        picture = model.decode(walked[None])[0, 0].numpy()
        colours.append(picture)
    strip = np.asarray(Image.open(output / entry["strip"]))
    assert strip.shape == (MELS, 4 * FRAMES)
    # log_db features are linear in dB, so that the palette's entries are linear in them.
    shown = strip[::-1].astype(float)
    expected = np.concatenate(colours, axis=1)
    inside = (shown > 0) & (shown < tiles.LEVELS - 1)
    slope = np.polyfit(expected[inside], shown[inside], 1)
    assert inside.sum() > 20 and np.abs(np.polyval(slope, expected[inside]) - shown[inside]).max() < 0.6


def test_animations_have_a_frame_for_every_step(made):
    output, _, listed, _ = made
    for name, frames in ((listed["traversals"][0]["gif"], 4), (listed["traversal_gif"], 4), (listed["reconstruction_gif"], len(WAVES))):
        with Image.open(output / name) as image:
            assert image.n_frames == frames and image.info["loop"] == 0
            assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 5, f"{name} is blank"


def test_drawings_have_titles_with_units_and_follow_the_scheme(made):
    output, _, listed, _ = made
    text = (output / listed["reconstructions"][2]["svg"]).read_text()
    assert "prefers-color-scheme:dark" in text and "var(--accent" in text and panels.PAGE.accent not in text
    for words in ("full scale ±1", "dB re full-scale sine", "kHz", "mel power", "1200 Hz"):
        assert words in text
    assert "<i>" not in text and "&lt;i&gt;" in text, "names of classes are text"
    responses = (output / listed["responses"]).read_text()
    assert "codes by frequency" in responses and "frequency, Hz" in responses and "square" in responses and "phase" not in responses
    with Image.open(output / listed["traversal_overview_png"]) as image:
        assert image.width > 900


def test_the_same_request_gives_the_same_bytes(data_root, made):
    output, _, _, _ = made
    again, _, _, _ = plotted(data_root, "again")
    for path in output.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_more_samples_change_none_of_the_first(data_root, made):
    output, _, listed, _ = made
    more, _, others, _ = plotted(data_root, "more", samples=4, gif_samples=1, seed=0)
    assert others["samples"][0]["code"] == listed["samples"][0]["code"] and len(others["samples"]) == 4
    assert (more / "sample_1_strip.png").read_bytes() == (output / "sample_1_strip.png").read_bytes()


def test_features_without_level_say_so_and_still_sound(data_root):
    output, _, listed, _ = plotted(data_root, "legacy", features="legacy", samples=0, steps=2)
    assert "level not known" in listed["sound"]
    samples, _ = soundfile.read(output / listed["reconstructions"][0]["reconstruction_wav"])
    assert np.abs(samples).max() == pytest.approx(0.5, abs=1e-3)


class Buzz(torch.nn.Module):
    """A vocoder whose sound is as loud as the mel power, and half too long."""

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        return torch.ones([log_mel.size(0), 1, 2700]) * torch.exp(log_mel.amax([1, 2]))[:, None, None] * 1e-3


def test_vocoder_in_a_file_makes_the_sounds(data_root, tmp_path):
    path = tmp_path / "buzz.pt"
    torch.jit.script(Buzz()).save(str(path))
    output, _, listed, _ = plotted(data_root, "vocoder", vocoder=str(path), samples=0, steps=2)
    assert listed["sound"] == "vocoder buzz.pt"
    features = open_features(data_root / "stages/featurise/aa")
    entry = listed["reconstructions"][0]
    power = features.to_power(features.array[entry["clip"]])
    samples, _ = soundfile.read(output / entry["resynthesis_wav"])
    assert len(samples) == SAMPLES and samples == pytest.approx(np.full(SAMPLES, min(1.0, 1e-3 * power.max())), abs=1e-4)


class Silent(torch.nn.Module):
    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        return torch.zeros([3])


def test_vocoders_that_are_none_are_refused(tmp_path):
    text = tmp_path / "text.pt"
    text.write_text("no module")
    with pytest.raises(InvalidValueError, match="no vocoder"):
        load_vocoder(text)
    wrong = tmp_path / "wrong.pt"
    torch.jit.script(Silent()).save(str(wrong))
    with pytest.raises(InvalidValueError, match="not a sound for each clip"):
        load_vocoder(wrong)(torch.ones(2, MELS, FRAMES), MelFrontEnd(RATE, N_FFT, HOP, MELS))
    torch.save({"state": torch.zeros(2)}, wrong)
    with pytest.raises(InvalidValueError, match="no vocoder"):
        load_vocoder(wrong)


def test_choice_hangs_on_seed_and_clip_only(data_root):
    features = open_features(data_root / "stages/featurise/aa")
    rows, _ = choice.held_out(features, 2, 0)
    assert len(rows) == 2 * len(WAVES) and choice.held_out(features, 1, 0)[0] == rows[::2], "more clips keep the first ones"
    assert len({tuple(choice.held_out(features, 1, seed)[0]) for seed in range(8)}) > 1
    dropped = rows[0]
    features.table = features.table.drop(index=dropped)
    assert set(choice.held_out(features, 2, 0)[0]) >= set(rows) - {dropped}
    features.table = features.table.assign(split="train")
    with pytest.raises(InvalidValueError, match="nothing is held out"):
        choice.held_out(features, 1, 0)


def test_codes_or_grids_of_other_clips_are_refused(data_root):
    model = data_root / "stages/train_vae/other"
    write_model(model, 5)
    output = data_root / "stages/plot_latents/refused"
    output.mkdir(parents=True)
    context = Context(output, data_root, emit=lambda kind, values: None)
    request = Request("stages/train_vae/other", "stages/featurise/aa", "stages/synthesize_grid/aa", "", Settings(**SETTINGS))
    with pytest.raises(InvalidValueError, match="codes of other clips"):
        run(request, context)
    write_grid(data_root / "stages/synthesize_grid/small", [(300.0, 0.5, 0)])
    with pytest.raises(InvalidValueError, match="different clips"):
        run(Request("stages/train_vae/aa", "stages/featurise/aa", "stages/synthesize_grid/small"), context)


def test_spectrum_of_a_full_scale_sine_is_zero_db():
    samples = np.sin(2 * np.pi * 50 * np.arange(1000) / 1000).astype(np.float32)
    levels = panels.spectrum_db(0.1 * samples)
    assert levels.argmax() == 50 and levels[50] == pytest.approx(-20, abs=0.01) and levels[200] == panels.FLOOR_DB


def test_mel_scale_against_torchaudio():
    frequencies = np.array([100.0, 999.0, 1000.0, 3000.0, 7999.0])
    expected = [torchaudio.functional.functional._hz_to_mel(value, "slaney") for value in frequencies]
    assert panels.hz_mel(frequencies) == pytest.approx(expected)


def test_responses_are_means_and_deviations_by_value():
    rng = np.random.default_rng(0)
    column, codes = rng.integers(0, 3, 60) * 10.0, rng.standard_normal((60, 2)).astype(np.float32)
    shown, mean, spread = panels.response(codes, column)
    assert list(shown) == [0.0, 10.0, 20.0]
    for place, value in enumerate(shown):
        own = codes[column == value]
        assert mean[place] == pytest.approx(own.mean(0), abs=1e-6) and spread[place] == pytest.approx(own.std(0), abs=1e-6)


def test_title_without_varied_factors_names_the_clip():
    row = pd.Series({"frequency": 440.0}, name=7)
    assert choice.title(row, [Factor("frequency", "continuous", "Hz", (440.0,))]) == "clip 7"
    assert choice.title(row, [Factor("frequency", "continuous", "Hz", (440.0, 880.0))]) == "frequency 440 Hz"
