import numpy as np
import pytest
import torch

from tasks.presets.library import load_spec
from tasks.renderer.interface import Note, RenderSettings, open_back_end
from tasks.synthesiser import build
from tests.tasks.renderer.jobs import rms

SETTINGS = RenderSettings(sample_rate_hz=16000, duration_s=0.5)


@pytest.fixture(scope="module")
def voice():
    return open_back_end("builtin", "", SETTINGS)


def test_the_sound_is_the_synthesisers(voice):
    synth = build("voice", 16000, 0.5)
    unit = synth.draw([5])
    human = synth.to_human(unit)
    names = [one.name for one in voice.parameters()]
    assert names == [one.name for one in synth.parameters] and len(names) == 78
    raw = dict(enumerate(unit[0].tolist()))
    note = Note(int(human[0, names.index("keyboard.midi_f0")].round()), 127, float(human[0, names.index("keyboard.duration")]))
    human[0, names.index("keyboard.midi_f0")] = note.pitch
    keys = [names.index("keyboard.midi_f0"), names.index("keyboard.duration")]
    unit[:, keys] = synth.to_unit(human)[:, keys]
    expected = synth.render(unit, [0]).numpy()
    assert voice.render(raw, note) == pytest.approx(expected, abs=1e-6) and rms(expected) > 1e-3


def test_the_note_decides_on_pitch_length_and_loudness(voice):
    plain = voice.render({}, Note(60, 127, 0.3))
    assert (voice.render({0: 0.9, 1: 0.1}, Note(60, 127, 0.3)) == plain).all(), "the keyboard's own parameters do not"
    assert (voice.render({}, Note(72, 127, 0.3)) != plain).any() and (voice.render({}, Note(60, 127, 0.1)) != plain).any()
    assert voice.render({}, Note(60, 64, 0.3)) == pytest.approx(plain * np.float32(64 / 127), abs=1e-6)


def test_it_is_deterministic_and_leaves_one_thread(voice):
    assert (voice.render({5: 0.3}, Note()) == open_back_end("builtin", "voice", SETTINGS).render({5: 0.3}, Note())).all()
    assert torch.get_num_threads() == 1


def test_indices_are_those_of_the_spec(voice):
    assert [(one.index, one.name) for one in voice.parameters()] == [(one.index, one.name) for one in load_spec("builtin_voice").parameters]
