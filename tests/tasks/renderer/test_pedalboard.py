import time

import numpy as np
import pedalboard
import pytest

from core.errors import InvalidValueError
from tasks.renderer.interface import RenderSettings, finished
from tasks.renderer.pool import Job, Pool
from tests.plugins.building import FAULT, FAULTS, build_small_synth
from tests.tasks.renderer.jobs import NOTE, SHORT, jobs, rms, sounds


@pytest.fixture(scope="module")
def pool(small_synth):
    with Pool("pedalboard", small_synth, SHORT) as made:
        yield made


def rendered(pool, *raws, note=NOTE):
    outcomes = list(pool.render(Job(number, raw, note) for number, raw in enumerate(raws)))
    assert [one.status for one in outcomes] == ["ok"] * len(raws), outcomes
    return [one.audio for one in outcomes]


def test_what_the_plug_in_tells_of_itself(pool, small_synth):
    found = pool.parameters()
    assert [one.index for one in found] == list(range(20))
    named = {one.name: one for one in found}
    assert named["Osc1 Wave"].steps == 4 and named["Osc1 Wave"].labels == ("sine", "triangle", "saw", "square")
    assert named["Osc2 Octave"].labels == ("-2", "-1", "0", "1", "2")
    assert named["Wide"].steps == 2 and named["Wide"].labels == ("off", "on")
    assert named["Cutoff"].steps == 0 and named["Cutoff"].default == pytest.approx(0.7) and named["Cutoff"].unit == "Hz"
    identity = pool.identity()
    assert identity["name"] == "Small Synth" and identity["version"] == "1.0.0" and identity["channels"] == 2
    assert len(identity["sha256"]) == 64 and small_synth not in str(identity)


def test_the_samples_are_those_of_a_bare_loop(pool, small_synth):
    [ours] = rendered(pool, {0: 0.0, 7: 0.4})
    plugin = pedalboard.VST3Plugin(small_synth, initialization_timeout=0)
    plugin._parameters[0].raw_value, plugin._parameters[7].raw_value = 0.0, 0.4
    midi = [(bytes([0x90, 60, 100]), 0.0), (bytes([0x80, 60, 0]), NOTE.hold_s)]
    theirs = plugin(midi, duration=0.3, sample_rate=16000, num_channels=2, buffer_size=8192, reset=True)
    assert theirs.shape == (2, 4800) and (theirs[0] != theirs[1]).any(), "stereo"
    assert (finished(theirs, SHORT) == ours).all(), "in blocks of another size, too"


def test_the_plug_in_plays_the_note_it_is_given(pool):
    sine = {0: 0.0, 4: 0.0, 7: 1.0, 16: 0.0}
    for pitch in (57, 69):
        note = type(NOTE)(pitch, 100, 0.25)
        [audio] = rendered(pool, sine, note=note)
        spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
        assert spectrum.argmax() * 16000 / len(audio) == pytest.approx(440 * 2 ** ((pitch - 69) / 12), abs=2)
    soft, loud = (rendered(pool, sine, note=type(NOTE)(60, velocity, 0.15))[0] for velocity in (32, 127))
    assert rms(soft) / rms(loud) == pytest.approx(32 / 127, rel=1e-3)


def test_presets_in_a_row_sound_as_they_do_alone(pool, small_synth):
    many = jobs(12)
    together = sounds(pool.render(many))
    with Pool("pedalboard", small_synth, SHORT, recycle_renders=1) as single:
        alone = sounds(single.render(many[::4]))
        assert single.started == 3
    assert len(set(together.values())) == 12
    assert all(together[number] == alone[number] for number in alone)


def test_what_a_preset_does_not_name_is_at_its_default(pool):
    plain, bright, again = rendered(pool, {}, {7: 1.0, 8: 0.9}, {})
    assert (plain == again).all() and (plain != bright).any()


def test_raw_values_beyond_the_range_are_clamped(pool):
    beyond, highest = rendered(pool, {7: 1.7, 12: -3.0}, {7: 1.0, 12: 0.0})
    assert (beyond == highest).all()


def test_silent_presets_cost_no_more_than_others(pool):
    started = time.monotonic()
    silence = rendered(pool, *[{FAULT: FAULTS["silence"]}] * 3)
    assert not np.any(silence) and time.monotonic() - started < 8, "pedalboard's own default waits 10 s for each"


def test_parameters_that_stand_for_midi_controllers_are_not_even_asked(tmp_path):
    plugin = build_small_synth(tmp_path, "PSEUDO_PARAMETERS=2080")
    started = time.monotonic()
    with Pool("pedalboard", str(plugin), SHORT) as pool:
        assert time.monotonic() - started < 8, "some 10 s without the filter"
        assert len(pool.parameters()) == 20
        rendered(pool, {0: 0.5})


def test_a_mono_synthesiser_is_asked_for_one_channel(tmp_path, pool):
    with Pool("pedalboard", str(build_small_synth(tmp_path, "CHANNELS=1")), SHORT) as mono:
        assert mono.identity()["channels"] == 1
        [one], [mean] = rendered(mono, {2: 1.0}), rendered(pool, {2: 1.0})
        assert one == pytest.approx(mean, abs=1e-6)


def test_notes_sound_together(small_synth):
    plugin = pedalboard.VST3Plugin(small_synth, initialization_timeout=0)

    def play(*pitches):
        midi = [(bytes([0x90, pitch, 90]), 0.01 * number) for number, pitch in enumerate(pitches) if pitch]
        return plugin(midi, duration=0.2, sample_rate=16000, num_channels=2, reset=True)

    assert play(50, 57, 64) == pytest.approx(play(50) + play(None, 57) + play(None, None, 64), abs=1e-5)


@pytest.mark.parametrize("kind", ["missing", "text"])
def test_what_is_no_plug_in_is_refused_when_the_pool_opens(tmp_path, kind):
    path = tmp_path / "X.vst3"
    if kind == "text":
        path.write_text("nothing")
    with pytest.raises(InvalidValueError, match="no such plug-in" if kind == "missing" else "dawdreamer"), Pool("pedalboard", str(path)):
        pass


def test_sample_rates_have_processes_of_their_own(small_synth):
    found = []
    for rate_hz in (16000, 22050, 16000):
        with Pool("pedalboard", small_synth, RenderSettings(sample_rate_hz=rate_hz, duration_s=0.3, fade_s=0.05)) as pool:
            found += rendered(pool, {})
    assert (found[0] == found[2]).all() and len(found[1]) == 6615
