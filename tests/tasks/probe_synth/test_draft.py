import pytest

from core.errors import InvalidValueError
from tasks.probe_synth.draft import drafted
from tasks.renderer.interface import PluginParameter

PARAMETERS = [
    PluginParameter(0, "Cutoff", 0.7),
    PluginParameter(1, "Wave", 0.5, 3, ("sine", "saw", "square")),
    PluginParameter(2, "Octave", 0.5, 3, ("-1", "0", "+1")),
    PluginParameter(4, "Sync", 1.0, 2, ("off", "on")),
    PluginParameter(7, "Fine", 0.2, 100, tuple(map(str, range(100)))),
    PluginParameter(9, "Range", 0.1, 3, ("8'", "4'", "2'"), (0.1, 0.3, 0.7)),
    PluginParameter(10, "Semitones", 0.0, 3, ("-12 st", "0 st", "12 st")),
]


def test_kinds_follow_steps_and_labels():
    spec = drafted("X", "pedalboard", PARAMETERS)
    assert [one.kind for one in spec.parameters] == ["num", "cat", "num", "bin", "num", "cat", "num"]
    assert [one.cardinality for one in spec.parameters] == [-1, 3, 3, 2, -1, 3, 3]
    assert [one.index for one in spec.parameters] == [0, 1, 2, 4, 7, 9, 10] and spec.backend == "pedalboard"
    assert [one.default for one in spec.parameters] == [one.default for one in PARAMETERS]
    assert spec.parameters[1].allowed == (0.0, 0.5, 1.0) and spec.parameters[5].allowed == (0.1, 0.3, 0.7), "the plug-in's own steps"
    assert drafted("X", "pedalboard", PARAMETERS, most_steps=100).parameters[4].cardinality == 100


def test_what_is_excluded_is_pinned_and_must_exist():
    spec = drafted("X", "pedalboard", PARAMETERS, ("S*",))
    assert [one.name for one in spec.pinned] == ["Sync", "Semitones"]
    with pytest.raises(InvalidValueError, match="matches no parameter"):
        drafted("X", "pedalboard", PARAMETERS, ("Snyc",))
