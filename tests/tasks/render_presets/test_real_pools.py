import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from core import keys
from core.context import Context
from core.contract import build
from tasks.presets import reading
from tasks.render_presets import stage
from tasks.render_presets.spec import Request, Settings


def context_of(root, name):
    output = root / "stages" / name
    output.mkdir(parents=True, exist_ok=True)
    return Context(output, root, final=f"stages/{name}", emit=lambda kind, values: None)


def test_the_built_in_synthesiser_by_the_host(tmp_path):
    settings = {"synth": "builtin_voice", "n": 6, "duration_s": 0.3, "hold_s": 0.2, "audio_clips": 3, "max_lost_share": 1.0}
    request = build(Request, {"settings": settings, "shards": 2})
    context = context_of(tmp_path, "voice")
    stage.run_shards(request, context, [1, 0])
    result = stage.run(request, context)
    found = reading.open_presets(context.output)
    assert result.rows == len(found) >= 4 and found.embeddings.shape == (result.rows, 256) and np.isfinite(found.embeddings).all()
    assert found.meta["plugin"]["name"] == "voice" and found.meta["backend"] == "builtin" and found.meta["sample_rate_hz"] == 32000


def test_dexed_presets_and_dx7_voices(tmp_path):
    pytest.importorskip("dexed")
    request = Request(Settings(n=70, duration_s=1.0, hold_s=0.5, audio_clips=-1), shards=2)
    context = context_of(tmp_path, "dexed")
    stage.run_shards(request, context, [0, 1])
    result, found = stage.run(request, context), reading.open_presets(context.output)
    assert result.rows == 70 and result.rejected == 0 and found.parameters.shape == (70, 100) and found.embeddings.shape == (70, 256)
    assert len(np.unique(found.embeddings, axis=0)) == 70 and result.draws < 250, "the constraints keep most presets audible"
    voice = bytearray(128)  # operator 1 alone, at once and for ever
    voice[85:93], voice[99], voice[100] = bytes([99] * 7 + [0]), 90, 1 << 1
    voice[102:110] = bytes([99] * 4 + [50] * 4)
    (tmp_path / "bank.dx7").write_bytes(bytes(voice) + bytes(128))
    request = dataclasses.replace(request, settings=dataclasses.replace(request.settings, presets=str(tmp_path / "bank.dx7")), shards=1)
    context = context_of(tmp_path, "voices")
    stage.run_shards(request, context, [0])
    result, by_hand = stage.run(request, context), reading.open_presets(context.output)
    assert result.rows == 1 and result.rejected == 1, "a voice of zeros is silent"
    reading.check_agreement(found, by_hand)
    spectrum = np.abs(np.fft.rfft(by_hand.audio[0].astype(np.float64)[:16000]))
    assert abs(np.argmax(spectrum) * 2 - 261.6) < 4, "middle C"


def test_the_host_runs_it(tmp_path):
    pytest.importorskip("dexed")
    request = {"settings": {"n": 2, "duration_s": 0.1, "hold_s": 0.05, "audio_model": "", "max_lost_share": 1.0}}
    (tmp_path / "request.json").write_text(json.dumps({**request, "shards": 1}))
    command = [sys.executable, "-m", "core.host", "tasks.render_presets", "request.json", "--output", "out"]
    finished = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(keys.ROOT)}, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert reading.open_presets(tmp_path / "out").meta["origin"] == "sampled"
