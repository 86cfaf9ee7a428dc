import re

import dexed
import numpy as np
import pytest

from core.errors import InvalidValueError
from tasks.presets.library import load_spec
from tasks.renderer.dexed_engine import FIELDS, NOWHERE, voice
from tasks.renderer.interface import Note, RenderSettings, finished, open_back_end
from tasks.renderer.pool import Job, Pool
from tests.tasks.renderer.jobs import rms

SETTINGS = RenderSettings(duration_s=0.5)
SCALARS = {
    "FEEDBACK": "feedback", "MIDDLE C": "transpose", "P MODE SENS.": "pitch_mod_sensitivity", "LFO SPEED": "lfo_speed",
    "LFO DELAY": "lfo_delay", "LFO PM DEPTH": "lfo_pitch_mod_depth", "LFO AM DEPTH": "lfo_amp_mod_depth",
    "OSC KEY SYNC": "osc_key_sync", "LFO KEY SYNC": "lfo_sync", "ALGORITHM": "algorithm", "LFO WAVE": "lfo_wave",
}  # fmt: skip
OPERATORS = {
    "OUTPUT LEVEL": "op_output_level", "MODE": "op_frequency_mode", "F COARSE": "op_frequency_coarse", "F FINE": "op_frequency_fine",
    "OSC DETUNE": "op_detune", "BREAK POINT": "op_breakpoint", "L SCALE DEPTH": "op_left_depth", "R SCALE DEPTH": "op_right_depth",
    "L KEY SCALE": "op_left_curve", "R KEY SCALE": "op_right_curve", "RATE SCALING": "op_rate_scaling",
    "A MOD SENS.": "op_amp_mod_sensitivity", "KEY VELOCITY": "op_velocity_sensitivity",
}  # fmt: skip
WHOLE = ("osc_key_sync", "lfo_sync", "algorithm", "lfo_wave", "op_frequency_mode", "op_left_curve", "op_right_curve")
"""Fields that dexed-py has as whole numbers; the others are shares of the greatest value."""


def drawn(seed):
    """Return raw values on the parameters' steps; all operators on."""
    rng = np.random.default_rng(seed)
    raw = {index: int(rng.integers(one.steps)) / (one.steps - 1) for index, one in enumerate(FIELDS) if one.steps}
    return {**raw, **{index: 1.0 for index, one in enumerate(FIELDS) if one.name.endswith("SWITCH")}}


def by_name(raw):
    """Return dexed-py's own preset of raw values, put together by the plug-in's names."""
    preset = dexed.Preset()
    for index, value in raw.items():
        name, steps = FIELDS[index].name, FIELDS[index].steps
        operator = re.fullmatch(r"OP(\d) (.*)", name)
        rest = operator[2] if operator else name
        eg = re.fullmatch(r"(?:PITCH )?EG (RATE|LEVEL) (\d)", rest)
        if rest == "SWITCH":
            continue
        if eg:
            field = f"{'op' if operator else 'pitch'}_env_{eg[1].lower()}s"
            place = (int(operator[1]) - 1, int(eg[2]) - 1) if operator else int(eg[2]) - 1
        else:
            field, place = (OPERATORS[rest], int(operator[1]) - 1) if operator else (SCALARS[rest], None)
        value = round(value * (steps - 1)) if field in WHOLE else value
        if place is None:
            setattr(preset, field, value)
        else:
            getattr(preset, field)[place] = value
    return preset


@pytest.mark.parametrize("seed", range(3))
def test_the_voice_is_dexed_pys_own_of_the_same_names(seed):
    raw = drawn(seed)
    assert voice(raw)[:145] == by_name(raw).to_patch().to_sysex()[:145]


def test_all_145_places_of_a_voice_are_reached_and_ten_parameters_have_none():
    places = [one.byte for one in FIELDS if one.byte != NOWHERE]
    assert sorted(places) == list(range(145)) and len(FIELDS) == 155


def test_indices_and_steps_are_those_of_the_spec():
    spec = load_spec("dexed")
    assert [one.index for one in spec.parameters] == list(range(155))
    snake = [re.sub(r"\W+", "_", one.name.lower()).strip("_") for one in FIELDS]
    assert snake == [one.name for one in spec.parameters]
    for one in spec.parameters:
        assert not one.is_discrete or one.cardinality == FIELDS[one.index].steps, one.name


def test_the_sound_is_the_engines():
    synth = dexed.DexedSynth(32000)
    with Pool("dexed", settings=SETTINGS) as pool:
        assert len(pool.parameters()) == 155 and "dexed-py" in pool.identity()["host"]
        raws = [drawn(seed) for seed in range(6)]
        outcomes = list(pool.render(Job(number, raw, Note(48, 90, 0.3)) for number, raw in enumerate(raws)))
    for raw, outcome in zip(raws, outcomes, strict=True):
        synth.load_preset(by_name(raw))
        theirs = synth.render(48, 90, 0.3, 0.6)[None]
        assert (finished(theirs, SETTINGS) == outcome.audio).all() and outcome.audio.shape == (16000,)
    assert max(rms(outcome.audio) for outcome in outcomes) > 0.01


def test_an_operator_switched_off_is_silent():
    back_end = open_back_end("dexed", "", SETTINGS)
    switches = {index: 0.0 for index, one in enumerate(FIELDS) if one.name.endswith("SWITCH")}
    assert rms(back_end.render({}, Note())) > 0.05, "the initial voice sounds"
    assert rms(back_end.render(switches, Note())) < 1e-4


def test_it_takes_no_plug_in():
    with pytest.raises(InvalidValueError, match="takes no plug-in"):
        open_back_end("dexed", "/usr/lib/vst3/Dexed.vst3", SETTINGS)
