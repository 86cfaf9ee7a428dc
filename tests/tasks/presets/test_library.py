import json

import numpy as np
import pytest

from core.errors import InvalidValueError
from tasks.presets import library, presets_json
from tasks.presets.layout import Layout


@pytest.mark.parametrize(
    ("name", "all_of_them", "continuous", "stepped", "categorical", "categories", "switches", "width"),
    [  # Dexed, Diva and TAL-NoiseMaker as tabulated for synth-proxy
        ("dexed", 155, 72, 20, 8, 49, 0, 141), ("diva", 280, 97, 3, 51, 274, 22, 396), ("tal_noisemaker", 83, 47, 1, 8, 52, 3, 103),
        ("amsynth", 41, 28, 2, 5, 19, 2, 51), ("builtin_voice", 78, 76, 0, 0, 0, 0, 76),
    ],
)  # fmt: skip
def test_shipped_specs_have_the_published_counts(name, all_of_them, continuous, stepped, categorical, categories, switches, width):
    spec = library.load_spec(name)
    layout = Layout(spec)
    numbers = [one for one in spec.used if one.kind == "num"]
    assert len(spec.parameters) == all_of_them and spec.name == name and spec.notes
    assert (sum(not one.is_discrete for one in numbers), sum(one.is_discrete for one in numbers)) == (continuous, stepped)
    assert (len(layout.categorical), layout.categories, len(layout.binary), layout.width) == (categorical, categories, switches, width)
    assert len(spec.used) + len(spec.pinned) == all_of_them and layout.size == continuous + stepped + categorical + switches
    assert spec.full(spec.sample(0, 0, 3)).shape == (3, all_of_them)


def test_dexed_has_its_plug_ins_order_and_constraints():
    spec = library.load_spec("dexed")
    named = {one.name: one for one in spec.parameters}
    assert [one.index for one in spec.parameters] == list(range(155))
    assert {name: named[name].index for name in ("cutoff", "algorithm", "lfo_wave", "op1_eg_rate_1", "op6_switch")} == {
        "cutoff": 0, "algorithm": 4, "lfo_wave": 12, "op1_eg_rate_1": 23, "op6_switch": 154,
    }  # fmt: skip
    assert named["op3_f_coarse"].index == 23 + 2 * 22 + 10 and named["op1_f_coarse"].default == 1 / 31
    assert named["p_mode_sens"].probabilities[0] == 0.75 and named["op2_mode"].probabilities == (0.75, 0.25)
    coarse = named["op4_f_coarse"].weights
    assert coarse[:4] == (2, 4, 1, 0.5) and coarse[-1] == 0.05 and len(coarse) == 32 and sum(coarse) == pytest.approx(12.5)
    assert named["op5_eg_rate_4"].interval == (0.45, 1.0) and named["lfo_delay"].interval == (0.0, 0.5)
    assert named["lfo_wave"].excluded_categories == (5,) and named["middle_c"] in spec.pinned
    values = dict(zip((one.name for one in spec.used), spec.sample(1, 0, 4000).T, strict=True))
    assert np.mean(values["p_mode_sens"] == 0) == pytest.approx(0.75, abs=0.03) and values["lfo_wave"].max() == 4


def test_random_waves_are_never_drawn():
    for name, parameter, left in (("amsynth", "osc1_waveform", [0, 0.25, 0.5]), ("amsynth", "lfo_waveform", [0, 1 / 6, 2 / 6, 5 / 6, 1])):
        one = next(one for one in library.load_spec(name).used if one.name == parameter)
        assert one.allowed == pytest.approx(left)
    assert {one.name for one in library.load_spec("amsynth").pinned} == {
        "master_vol",
        "portamento_time",
        "portamento_mode",
        "keyboard_mode",
    }


def test_specs_by_path_and_specs_that_are_not_there(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(library.load_spec("amsynth").to_json()))
    assert library.load_spec(path) == library.load_spec("amsynth")
    with pytest.raises(InvalidValueError, match="did you mean 'dexed'"):
        library.load_spec("dexd")
    path.write_text("{")
    with pytest.raises(InvalidValueError, match="no JSON"):
        library.load_spec(path)


def test_the_back_ends_know_the_same_parameters_by_the_same_indices():
    renderer = pytest.importorskip("tasks.renderer.dexed_engine")
    theirs = [presets_json.parameter_name(field.name) for field in renderer.FIELDS]
    assert [one.name for one in library.load_spec("dexed").parameters] == theirs
    for one, field in zip(library.load_spec("dexed").parameters, renderer.FIELDS, strict=True):
        assert one.cardinality in (-1, field.steps), one.name


def test_the_built_in_synthesiser_has_the_parameters_of_its_spec():
    synthesiser = pytest.importorskip("tasks.synthesiser").build("voice", 8000, 0.1)
    assert [one.name for one in library.load_spec("builtin_voice").parameters] == [one.name for one in synthesiser.parameters]
