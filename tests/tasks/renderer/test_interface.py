import numpy as np
import pytest

from core.errors import InvalidValueError
from tasks.renderer import interface
from tasks.renderer.interface import Note, PluginParameter, RenderSettings, clamped, finished, is_pseudo, open_back_end, told_apart


def test_a_clip_is_the_mean_of_the_channels_of_exact_length_and_faded_to_nothing():
    settings = RenderSettings(sample_rate_hz=8000, duration_s=0.5, fade_s=0.1)
    audio = np.stack([np.full(4001, 0.75, np.float32), np.full(4001, 0.25, np.float32)])
    clip = finished(audio, settings)
    assert clip.shape == (4000,) and clip.dtype == np.float32
    assert (clip[:3200] == 0.5).all(), "not normalised"
    assert clip[3200] == 0.5 and clip[-1] == 0.0
    assert np.diff(clip[3200:]) == pytest.approx(np.full(799, -0.5 / 799), abs=1e-6), "in a line"
    assert not finished(audio[:, :100], settings)[100:].any(), "what a back end leaves out is silence"


def test_defaults_are_those_of_synth_proxy():
    note, settings = Note(), RenderSettings()
    assert (note.pitch, note.velocity, note.hold_s) == (60, 100, 2.0)
    assert (settings.sample_rate_hz, settings.duration_s, settings.fade_s, settings.samples) == (32000, 5.0, 0.1, 160_000)
    assert settings.initialization_timeout_s == 0 and settings.fresh


@pytest.mark.parametrize(
    "wrong", [{"sample_rate_hz": 10}, {"duration_s": 0.0}, {"fade_s": 6.0}, {"initialization_timeout_s": -1.0}, {"ignored": ("(",)}]
)
def test_settings_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(InvalidValueError, match=f"render.{next(iter(wrong))}"):
        RenderSettings(**wrong)


@pytest.mark.parametrize("wrong", [{"pitch": 128}, {"velocity": 0}, {"hold_s": 0.0}])
def test_notes_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(InvalidValueError, match=f"note.{next(iter(wrong))}"):
        Note(**wrong)


def test_raw_values_are_clamped_and_must_be_numbers_of_known_parameters():
    assert clamped({0: 1.7, 1: -0.2, 2: 0.3}, {0: 0, 1: 0, 2: 0}) == {0: 1.0, 1: 0.0, 2: 0.3}
    with pytest.raises(InvalidValueError, match="no such parameter"):
        clamped({3: 0.5}, {0: 0})
    with pytest.raises(InvalidValueError, match="no number"):
        clamped({0: float("nan")}, {0: 0})


def test_controllers_in_disguise_are_told_from_parameters():
    settings = RenderSettings(ignored=("Macro",))
    assert all(is_pseudo(name, settings) for name in ("MIDI CC 1|74", "MIDI Ch. 12 CC 3", "P001", "Macro 1"))
    assert not any(is_pseudo(name, settings) for name in ("Pan", "P1", "P100 Level", "MIDI Channel", "Cutoff"))


def test_parameters_of_one_name_are_told_apart_by_index():
    names = [one.name for one in told_apart([PluginParameter(index, name, 0.0) for index, name in enumerate(("A", "B", "A", ""))])]
    assert names == ["A (0)", "B", "A (2)", "(3)"]


def test_unknown_back_ends_and_missing_packages_say_what_to_do(monkeypatch):
    with pytest.raises(InvalidValueError, match="did you mean 'pedalboard'"):
        open_back_end("pedalbord", "", RenderSettings())
    monkeypatch.setattr(interface.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(f"No module named {name}")))
    with pytest.raises(InvalidValueError, match=r"setup presets.*GPL"):
        open_back_end("dexed", "", RenderSettings())
