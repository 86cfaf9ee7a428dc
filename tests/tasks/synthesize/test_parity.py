"""Against SynthAX 0.2.2: stored sounds always, and SynthAX itself where its environment is built."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from core import audio, environments, manifest
from core.context import Context
from core.errors import InvalidValueError
from core.launcher import clean_environment
from tasks.synthesiser import build
from tasks.synthesize import stage
from tasks.synthesize.spec import Request, Settings

HERE = Path(__file__).parent
NAMES = ("voice", "voicefm", "parametric")
REFERENCE = np.load(HERE / "synthax_reference.npz")


def ours(name, units, noise, kind, compat=("noise_level",)):
    synthesiser = build(name, compat=compat)
    made = synthesiser.render(torch.from_numpy(units).to(kind), range(len(units)), torch.from_numpy(noise).to(kind)[None])
    assert made.dtype == kind and synthesiser.tally.not_finite == 0
    return made.numpy()


@pytest.mark.parametrize("name", NAMES)
def test_stored_sounds_of_synthax_are_matched(name):
    stored, units, step = REFERENCE[f"{name}/audio"], REFERENCE[f"{name}/unit"], int(REFERENCE["step"])
    assert [one.encode() for one in (p.name for p in build(name).parameters)] == REFERENCE[f"{name}/names"].tolist()
    exact = ours(name, units, REFERENCE["noise"], torch.float64)[:, ::step]
    assert stored.shape == exact.shape and np.abs(stored).max(1).min() > 0.05
    assert np.abs(exact - stored).max() < 1e-6, "the same equations"
    off = np.abs(ours(name, units, REFERENCE["noise"], torch.float32)[:, ::step] - stored).max(1)
    # SynthAX adds phases up in float32 to tens of thousands of radians; ours keep to one period and make good what rounding does.
    theirs = REFERENCE[f"{name}/float32_off"]
    assert (off < np.maximum(1e-3, 0.1 * theirs)).all() and np.median(off / theirs) < 0.1, (off, theirs)
    assert (off < 1e-3).sum() >= 11, off


def test_the_first_sounds_peak_scales_the_batch_by_switch_only():
    units, step = REFERENCE["voice/unit"], int(REFERENCE["step"])
    faulty = ours("voice", units, REFERENCE["noise"], torch.float64, ("noise_level", "first_item_normalisation"))
    stored = REFERENCE["voice/batch"]
    assert np.abs(faulty[:, :: 8 * step] - stored).max() < 1e-6 and np.abs(faulty).max() > 1.5
    assert np.abs(ours("voice", units, REFERENCE["noise"], torch.float64)).max() <= 1 + 1e-12


@pytest.mark.skipif(not environments.is_ready("synthax"), reason="envs/synthax is not built (./run.sh setup synthax)")
def test_fresh_sounds_of_synthax_are_matched(tmp_path):
    name = "voicefm"  # has every kind of module; compiling all three would take most of a minute
    synthesiser = build(name)
    units = synthesiser.draw([11, 12], "human_uniform").numpy()
    source, target = tmp_path / "parameters.npz", tmp_path / "audio.npz"
    np.savez(source, **{f"{name}/names": np.array([p.name for p in synthesiser.parameters]), f"{name}/unit": units})
    command = [str(environments.python("synthax")), str(HERE / "synthax_child.py"), str(source), str(target)]
    variables = {**clean_environment(1), "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(HERE.parents[2])}
    finished = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=300)
    assert finished.returncode == 0, finished.stderr
    made = np.load(target)
    assert np.abs(ours(name, units, made["noise"], torch.float64) - made[f"{name}/audio"]).max() < 1e-6


@pytest.mark.skipif(not environments.is_ready("synthax"), reason="envs/synthax is not built (./run.sh setup synthax)")
def test_synthax_may_render_the_stages_sounds(tmp_path):
    made = {}
    for backend in ("own", "synthax"):
        output = tmp_path / "stages/synthesize" / backend
        output.mkdir(parents=True)
        context = Context(output, tmp_path, final=f"stages/synthesize/{backend}", emit=lambda *_: None)
        request = Request(Settings(n=2, backend=backend, delta=0.1, seed=3), shards=1)
        stage.run_shards(request, context, [0])
        assert stage.run(request, context).clips == 4
        made[backend] = manifest.read(output).sort_values("path").reset_index(drop=True), np.load(output / "parameters.npy")
    (ours_, units), (theirs, same) = made["own"], made["synthax"]
    assert np.array_equal(units, same) and not set(ours_["clip_id"]) & set(theirs["clip_id"]), "the same parameters, other sounds"
    synthesiser = build("voice")
    noise = np.zeros((1, 16000))
    for row in range(4):
        sound = audio.load_mono(tmp_path / theirs["path"][row], 16000)
        assert np.abs(sound).max() <= 1 and np.isfinite(sound).all()
        # Without noise on both sides nothing but rounding is left between them; with SynthAX's noise the rest is that noise at its level.
        level = float(
            synthesiser.to_human(torch.from_numpy(units[row : row + 1]))[0, [p.name for p in synthesiser.parameters].index("mixer.noise")]
        )
        quiet = synthesiser.render(torch.from_numpy(units[row : row + 1]).double(), [0], torch.from_numpy(noise))[0].numpy()
        assert np.abs(sound - quiet).max() < 2 * level + 2e-3
    with pytest.raises(InvalidValueError, match="SynthAX has none"):
        Settings(backend="synthax", filtered=True)
