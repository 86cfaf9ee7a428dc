import csv
import json

import numpy as np
import pytest
import soundfile

from core.context import Context
from core.errors import InvalidValueError
from tasks.presets.library import load_spec
from tasks.probe_synth.spec import Request
from tasks.probe_synth.stage import run
from tests.plugins.building import FAULT, FAULTS


def probed(tmp_path, **fields):
    context = Context(output=tmp_path / "out", data_root=tmp_path, emit=lambda event, values: None)
    context.output.mkdir(exist_ok=True)
    small = {"probes": 4, "sample_rate_hz": 16000, "duration_s": 0.3, "hold_s": 0.15, "sounds": 2}
    return run(Request(**{**small, **fields}), context), context.output


def test_a_plug_in_is_described_drafted_and_judged(tmp_path, small_synth):
    result, output = probed(tmp_path, plugin=small_synth, exclude=("Fault",))
    assert (result.parameters, result.used, result.categories, result.failed) == (20, 19, 4, 0)
    assert (result.verdict, result.equal_again, result.equal_reordered) == ("deterministic", 1.0, 1.0)
    assert result.load_s > 0 and result.render_s > 0
    spec = load_spec(output / "spec.json")
    assert spec.name == "Small Synth" and spec.backend == "pedalboard" and [one.name for one in spec.pinned] == ["Fault"]
    kinds = {one.name: (one.kind, one.cardinality) for one in spec.used}
    assert kinds["Osc1 Wave"] == ("cat", 4) and kinds["Osc2 Octave"] == ("num", 5) and kinds["Wide"] == ("bin", 2)
    assert kinds["Cutoff"] == ("num", -1)
    told = json.loads((output / "synth.json").read_text())
    assert told["repeatability"]["kind"] == "deterministic" and told["identity"]["file"] == "SmallSynth.vst3"
    assert told["identity"]["render"]["initialization_timeout_s"] == 0 and len(told["parameters"]) == 20
    rows = list(csv.DictReader((output / "probes.csv").open()))
    assert [row["probe"] for row in rows] == ["0", "1", "2", "3"] and all(row["status"] == "ok" for row in rows)
    samples, rate_hz = soundfile.read(output / "audio" / "probe_0000.wav")
    assert rate_hz == 16000 and np.sqrt(np.mean(samples**2)) == pytest.approx(float(rows[0]["rms"]), rel=1e-5)
    assert len(list((output / "audio").iterdir())) == 2


def test_presets_that_fail_are_counted_and_the_probe_goes_on(tmp_path, small_synth):
    result, output = probed(tmp_path, plugin=small_synth, seed=20)
    spec = load_spec(output / "spec.json")
    drawn = spec.raw(spec.sample(20, 1, 4))[:, FAULT]
    assert drawn.tolist() == pytest.approx([FAULTS["memory"], FAULTS["nan"], FAULTS["crash"]])
    assert result.failed == 2
    rows = list(csv.DictReader((output / "probes.csv").open()))
    assert [row["status"] for row in rows] == ["ok", "ok", "error", "crash"]


def test_a_misspelt_exclusion_is_refused(tmp_path, small_synth):
    with pytest.raises(InvalidValueError, match="did you mean 'Fault'"):
        probed(tmp_path, plugin=small_synth, exclude=("Fualt",))


def test_dexed_needs_no_plug_in(tmp_path):
    result, output = probed(tmp_path, backend="dexed", exclude=("*SWITCH",), sample_rate_hz=32000)
    assert (result.parameters, result.used, result.verdict) == (155, 149, "deterministic")
    assert load_spec(output / "spec.json").name == "Dexed"


@pytest.mark.parametrize(
    "fields, where", [({}, "plugin"), ({"plugin": "a", "uri": "b"}, "uri"), ({"backend": "dexed", "probes": 1}, "probes")]
)
def test_requests_that_make_no_sense_are_refused(fields, where):
    with pytest.raises(InvalidValueError, match=f"probe_synth.{where}"):
        Request(**fields)
