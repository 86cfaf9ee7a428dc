from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidValueError
from tasks.presets.library import load_spec
from tasks.renderer.dawdreamer_host import _stepped
from tasks.renderer.interface import Note, RenderSettings
from tasks.renderer.pool import Job, Pool
from tests.plugins import building
from tests.tasks.renderer.jobs import NOTE, SHORT, jobs, rms, sounds

SAW = str(building.SOURCES / "saw.dsp")
AMSYNTH = Path("/usr/lib/vst/amsynth_vst.so")


def test_a_faust_program_needs_no_plug_in():
    with Pool("dawdreamer", SAW, SHORT) as pool:
        named = {one.name: one for one in pool.parameters()}
        assert set(named) == {"attack", "cutoff", "wave", "echo"}, "the note has freq, gain and gate"
        assert named["wave"].steps == 3 and named["wave"].labels == ("0", "1", "2")
        assert named["cutoff"].default == pytest.approx((2000 - 50) / 9950, abs=1e-4)
        sine = {named["wave"].index: 0.0, named["cutoff"].index: 0.5}
        raws = [sine, {**sine, named["wave"].index: 1.0}, {**sine, named["echo"].index: 1.0}, sine]
        outcomes = list(pool.render(Job(number, raw, Note(69, 100, 0.2)) for number, raw in enumerate(raws)))
    assert [one.reason for one in outcomes] == [""] * 4
    first, saw, echo, again = (one.audio for one in outcomes)
    spectrum = np.abs(np.fft.rfft(first * np.hanning(len(first))))
    assert spectrum.argmax() * 16000 / len(first) == pytest.approx(440, abs=2)
    assert (first == again).all(), "nothing is left of the echo"
    assert (saw != first).any() and (echo != first).any()


def test_two_hosts_play_a_plug_in_alike(small_synth):
    found = []
    for host in ("pedalboard", "dawdreamer"):
        with Pool(host, small_synth, SHORT) as pool:
            found.append((pool.parameters(), [one.audio for one in pool.render(jobs(4))]))
    (ours, first), (theirs, second) = found
    assert [(one.name, one.steps, one.labels) for one in ours] == [(one.name, one.steps, one.labels) for one in theirs]
    for one, other in zip(first, second, strict=True):
        assert one == pytest.approx(other, abs=1e-4) and rms(one) > 1e-3


def test_steps_are_found_by_their_texts():
    told = {"name": "Wave", "label": ""}
    rounding = {(0.0, 0.25): "a", (0.25, 0.75): "b", (0.75, 1.0): "c"}
    assert _stepped(3, told, 0.5, rounding).values == () and _stepped(3, told, 0.5, rounding).labels == ("a", "b", "c")
    odd = {(0.0, 0.2): "a", (0.2, 0.4): "b", (0.4, 1.0): "c"}
    assert _stepped(3, told, 0.5, odd).values == pytest.approx((0.1, 0.3, 0.7)), "k / (steps - 1) would miss the second"
    assert _stepped(3, told, 0.5, {(k / 1000, (k + 1) / 1000): str(k) for k in range(1000)}).steps == 0


@pytest.mark.skipif(not AMSYNTH.is_file(), reason="amsynth is not installed (apt-get install amsynth)")
def test_amsynth_as_measured():
    """References: its 41 parameters and their steps; exact repeats without its noise and random waves, each on a new instance."""
    settings = RenderSettings(duration_s=0.5)
    with Pool("dawdreamer", str(AMSYNTH), settings) as pool:
        found = {one.name: one for one in pool.parameters()}
        assert len(found) == 41
        assert [(one.index, one.name) for one in load_spec("amsynth").parameters] == [(one.index, one.name) for one in found.values()]
        steps = {"osc1_waveform": 5, "lfo_waveform": 7, "filter_type": 5, "filter_slope": 2, "osc2_sync": 2, "keyboard_mode": 3,
                 "osc2_range": 8, "osc2_pitch": 25, "freq_mod_osc": 3}  # fmt: skip
        assert {name: found[name].steps for name in steps} == steps
        assert all(found[name].values == () for name in steps), "each step holds its k / (steps - 1)"
        waves = {found[name].index: 0.25 for name in ("osc1_waveform", "osc2_waveform")}
        presets = [Job(number, {**waves, found["filter_cutoff"].index: number / 4}, NOTE) for number in range(4)]
        first = sounds(pool.render(presets))
    with Pool("dawdreamer", str(AMSYNTH), settings) as pool:
        assert sounds(pool.render(presets[::-1])) == first
    assert len(set(first.values())) == 4


def test_what_it_cannot_load_is_refused(tmp_path):
    (tmp_path / "wrong.dsp").write_text("process = nothing_of_the_kind;")
    with pytest.raises(InvalidValueError, match="cannot be opened"), Pool("dawdreamer", str(tmp_path / "wrong.dsp"), SHORT):
        pass
    with pytest.raises(InvalidValueError, match="no such plug-in"), Pool("dawdreamer", str(tmp_path / "none.so"), SHORT):
        pass
