import json

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import sqrtm

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.measure_sounds import spectral, stage
from tasks.measure_sounds.spec import Request, Settings, SoundSet, Space


def clips(root, folder, sounds, pairs=False, split="train"):
    """Write sounds and their manifest; of pairs with the parameters that ``synthesize`` writes."""
    rows = []
    for number, sound in enumerate(sounds):
        path = f"{folder}/audio/{number}.flac"
        audio.write(root / path, sound.astype(np.float32), 16000)
        parameters = {"pair": f"{number // 2:07d}", "view": "ab"[number % 2]} if pairs else {}
        rows.append(manifest.row(f"{folder[-2:]}{number:03d}", path, "x", label="l", split=split, parameters=parameters))
    manifest.write(root / folder, manifest.frame(rows))
    return rows


def embedded(root, folder, rows, array):
    (root / folder).mkdir(parents=True)
    np.save(root / folder / "embeddings.npy", array.astype(np.float32))
    pd.DataFrame([{name: row[name] for name in ("clip_id", "split", "parameters")} for row in rows]).to_parquet(
        root / folder / "table.parquet"
    )
    return folder


@pytest.fixture
def study(tmp_path):
    """Real noise, and two sets of tones whose twins are close or far."""
    rng = np.random.default_rng(0)
    real = clips(tmp_path, "stages/prepare/re", 0.1 * rng.standard_normal((24, 8000)))
    held = clips(tmp_path, "stages/other/he", 0.1 * rng.standard_normal((6, 8000)), split="test")
    table = pd.concat([manifest.frame(real), manifest.frame(held)])
    manifest.write(tmp_path / "stages/prepare/re", table)
    arrays = {"real": np.vstack([rng.standard_normal((24, 3)), 50 + rng.standard_normal((6, 3))])}
    folders = {"real": embedded(tmp_path, "stages/embed/re", real + held, arrays["real"])}
    sets = []
    for name, delta in (("near", 0.01), ("far", 0.5)):
        times = np.arange(8000) / 16000
        folder = f"stages/synthesize/{name[:2]}"
        rows = clips(tmp_path, folder, [0.3 * np.sin(2 * np.pi * 500 * times)] * 20, pairs=True)
        (tmp_path / folder / "synthesiser.json").write_text(json.dumps({"settings": {"synth": "voice", "delta": delta}}))
        base = np.repeat(rng.standard_normal((10, 3)), 2, axis=0)
        arrays[name] = base + delta * rng.standard_normal((20, 3)) + (4.0 if name == "far" else 0.0)
        folders[name] = embedded(tmp_path, f"stages/embed/{name[:2]}", rows, arrays[name])
        sets.append(SoundSet(name, folder))
    return tmp_path, arrays, tuple(sets), (Space("mel", folders["real"], (folders["near"], folders["far"])),)


def measure(study, name="run", **settings):
    root, _, sets, spaces = study
    output = root / "stages/measure_sounds" / name
    output.mkdir(parents=True)
    request = Request("stages/prepare/re", sets, spaces, Settings(**settings))
    result = stage.run(request, Context(output, root, emit=lambda *_: None))
    return result, json.loads((output / "measures.json").read_text())


def test_distances_are_those_of_the_formulas_over_train_clips_only(study):
    _, arrays, _, _ = study
    result, written = measure(study)
    assert result.real_clips == 24
    real = arrays["real"][:24]
    for name in ("near", "far"):
        made = arrays[name].astype(np.float32).astype(float)
        one, two = np.cov(made.T), np.cov(real.T)
        gap = made.mean(0) - real.mean(0)
        expected = gap @ gap + np.trace(one + two - 2 * sqrtm(one @ two).real)
        assert result.frechet[f"{name}, mel"] == pytest.approx(expected, rel=1e-4)
        unit = made - made.mean(0)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        assert result.twins[f"{name}, mel"] == pytest.approx(np.mean(np.linalg.norm(unit[::2] - unit[1::2], axis=1)), abs=1e-6)
    assert result.twins["near, mel"] < 0.2 < result.twins["far, mel"] < result.strangers["far, mel"] + 0.3
    assert result.frechet["far, mel"] > 20 > result.frechet_reference["mel"] and written["sets"]["far"]["delta"] == 0.5
    assert written["spaces"]["mel"]["sets"]["near"]["frechet_infinity"] is not None
    everything, _ = measure(study, "all", split="")
    assert everything.real_clips == 30 and everything.frechet["near, mel"] > 10 * result.frechet["near, mel"]


def test_spectral_features_of_tones_and_noise_are_the_known_ones(study):
    _, written = measure(study)
    tone, noise = written["sets"]["near"]["spectral"], written["real"]["spectral"]
    assert tone["centroid_hz"][2] == pytest.approx(500, abs=5) and tone["rolloff_hz"][2] == pytest.approx(500, abs=32)
    assert tone["level_dbfs"][2] == pytest.approx(20 * np.log10(0.3 / np.sqrt(2)), abs=0.05) and tone["flatness_db"][2] < -40
    assert noise["centroid_hz"][2] == pytest.approx(4015, rel=0.02) and noise["bandwidth_hz"][2] == pytest.approx(
        8000 / np.sqrt(12), rel=0.03
    )
    assert noise["rolloff_hz"][2] == pytest.approx(0.85 * 8000, rel=0.02)
    # Power of white noise is exponentially distributed: E[ln x] = -0.5772 for a mean of 1.
    assert noise["flatness_db"][2] == pytest.approx(-10 * np.log10(np.e) * 0.5772, abs=0.3)
    assert tone["flux"][2] < 0.05 < noise["flux"][2] < np.sqrt(2)
    assert written["sets"]["near"]["overlap"]["centroid_hz"] == 0.0
    rows = [{name: float(number) for name in spectral.FEATURES} for number in range(10)]
    assert set(spectral.overlap(rows, rows).values()) == {1.0}
    assert spectral.features(np.zeros(4000, np.float32)) is None and spectral.features(np.ones(10, np.float32)) is not None


def test_requests_that_do_not_fit_are_refused(study):
    root, _, sets, spaces = study
    with pytest.raises(InvalidValueError, match="names of their own"):
        Request("stages/prepare/re", (sets[0], sets[0]), spaces)
    with pytest.raises(InvalidValueError, match="one embedding per set"):
        Request("stages/prepare/re", sets[:1], spaces)
    table = manifest.read(root / "stages/prepare/re")
    table["split"] = "test"
    manifest.write(root / "stages/prepare/re", table)
    with pytest.raises(InvalidValueError, match="no real clips"):
        measure(study)
