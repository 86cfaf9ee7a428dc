import json
from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidValueError
from tasks.presets import amsynth, dx7, hand_crafted, library
from tasks.presets.raw_preset import RawPreset

DEXED, AMSYNTH = library.load_spec("dexed"), library.load_spec("amsynth")
HEXTER, BANKS = Path("/usr/share/hexter"), Path("/usr/share/amsynth/banks")


def packed_voice(name, algorithm=4, wave=3, **op1):
    """A packed voice with all numbers at 0 but for those named; ``op1``: places of its 17 bytes."""
    data = bytearray(128)
    for place, byte in op1.items():
        data[5 * 17 + int(place[1:])] = byte
    data[110], data[116], data[117] = algorithm, wave << 1 | 5 << 4 | 1, 24
    data[118:128] = name.ljust(10).encode()
    return bytes(data)


def dump(head, payload):
    return b"\xf0\x43\x00" + head + payload + bytes([-sum(payload) & 0x7F]) + b"\xf7"


def test_packed_voices_dumps_of_32_and_of_one_say_the_same():
    # eg rate 1, detune 9 and rate scaling 3, velocity 6 and amplitude 2, coarse 17 and fixed, fine 50
    voice = packed_voice("PIANO 1", b0=99, b12=9 << 3 | 3, b13=6 << 2 | 2, b14=70, b15=17 << 1 | 1, b16=50, b11=2 << 2 | 1)
    other = packed_voice("ORGAN", algorithm=31)
    bare = dx7.read(voice + other, "a.dx7")
    bulk = dx7.read(b"\xf0\x7e\x7f\x06\x02\xf7" + dump(b"\x09\x20\x00", (voice + other) * 16), "a.dx7")
    single = dx7.read(dump(b"\x00\x01\x1b", dx7.unpacked(voice)), "a.dx7")
    assert [one.name for one in bare] == ["a.dx7 001 PIANO 1", "a.dx7 002 ORGAN"] and len(bulk) == 32
    assert bulk[0] == bare[0] == single[0] and bulk[1] == bare[1] and bulk[30].parameters == bare[0].parameters
    found = bare[0].parameters
    assert set(found) == {one.name for one in DEXED.parameters} - {"cutoff", "resonance", "output", "master_tune_adj"}
    expected = {
        "op1_eg_rate_1": 1, "op1_osc_detune": 9 / 14, "op1_rate_scaling": 3 / 7, "op1_key_velocity": 6 / 7, "op1_a_mod_sens": 2 / 3,
        "op1_output_level": 70 / 99, "op1_f_coarse": 17 / 31, "op1_mode": 1, "op1_f_fine": 50 / 99, "op1_l_key_scale": 1 / 3,
        "op1_r_key_scale": 2 / 3, "algorithm": 4 / 31, "lfo_wave": 3 / 5, "p_mode_sens": 5 / 7, "lfo_key_sync": 1, "middle_c": 0.5,
        "op1_switch": 1, "op2_switch": 1, "op3_switch": 1, "op4_switch": 1, "op5_switch": 1, "op6_switch": 1,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert {value for name, value in found.items() if name not in expected} == {0}
    for wrong in (b"", b"x" * 100, b"\xf0\x43\xf7", dump(b"\x09\x20\x00", b"x" * 10)):
        with pytest.raises(InvalidValueError, match="no DX7 voices"):
            dx7.read(wrong, "a.dx7")


def test_dx7_voices_agree_with_dexed_pys_own_reader():
    dexed = pytest.importorskip("dexed")
    rng = np.random.default_rng(0)
    for _ in range(20):
        data = bytearray(rng.integers(0, 100, 128, dtype=np.uint8))
        theirs = dexed.Patch.from_packed(bytes(data)).to_preset()
        found = dx7.parameters(dx7.unpacked(bytes(data)))
        for k in range(6):
            assert found[f"op{k + 1}_f_coarse"] == pytest.approx(theirs.op_frequency_coarse[k])
            assert found[f"op{k + 1}_eg_level_2"] == pytest.approx(theirs.op_env_levels[k][1])
            assert found[f"op{k + 1}_mode"] == theirs.op_frequency_mode[k]
            assert found[f"op{k + 1}_r_key_scale"] * 3 == pytest.approx(theirs.op_right_curve[k])
            assert found[f"op{k + 1}_a_mod_sens"] == pytest.approx(theirs.op_amp_mod_sensitivity[k])
            assert found[f"op{k + 1}_output_level"] == pytest.approx(theirs.op_output_level[k])
        assert found["algorithm"] * 31 == pytest.approx(theirs.algorithm) and found["lfo_wave"] * 5 == pytest.approx(theirs.lfo_wave)
        assert found["pitch_eg_level_3"] == pytest.approx(theirs.pitch_env_levels[2])


BANK = """amSynth
<preset> <name> Glassy  Pad
<parameter> amp_attack 1.25
<parameter> osc2_range -1
<parameter> osc1_waveform 3
<parameter> filter_cutoff 7
<preset> <name> New patch
<preset> <name> Organ
<parameter> filter_env_amount -16
<parameter> lfo_waveform 6
EOF
"""


def test_amsynth_banks_hold_native_values():
    found = amsynth.read(BANK.encode(), "a.bank")
    assert [one.name for one in found] == ["a.bank 001 Glassy Pad", "a.bank 003 Organ"], "a preset without parameters is none"
    assert found[0].parameters == {"amp_attack": 0.5, "osc2_range": pytest.approx(2 / 7), "osc1_waveform": 0.75, "filter_cutoff": 1.0}
    assert found[1].parameters == {"filter_env_amount": 0.0, "lfo_waveform": 1.0}
    assert set(amsynth.NATIVE) <= {one.name for one in AMSYNTH.parameters}
    for wrong in ("<parameter> a 1\n", "<preset> <name> a\n<parameter> a one\n", "hello\n"):
        with pytest.raises(InvalidValueError, match=r"a.bank:\d"):
            amsynth.read(f"amSynth\n{wrong}".encode(), "a.bank")


def test_presets_are_clipped_snapped_and_kept_once():
    base = {"amp_attack": 0.5, "osc1_waveform": 0.25}
    presets = [
        RawPreset("first", base), RawPreset("again", dict(base), ("pad",)), RawPreset("noise", {**base, "osc1_waveform": 0.75}),
        RawPreset("off", {**base, "osc2_pitch": 0.49, "amp_attack": 2.0}), RawPreset("bad", {**base, "osc_mix": float("nan")}),
    ]  # fmt: skip
    kept = hand_crafted.fitted(AMSYNTH, presets)
    assert kept.names == ["first", "noise", "off"] and kept.values.dtype == np.float32
    assert kept.removed == [{"name": "again", "reason": "duplicate", "of": "first"},
                            {"name": "bad", "reason": "not a number", "parameter": "osc_mix"}]  # fmt: skip
    places = {one.name: place for place, one in enumerate(AMSYNTH.used)}
    assert kept.values[:, places["osc1_waveform"]].tolist() == [1, 2, 1], "noise becomes its neighbour, the saw"
    assert kept.values[2, places["osc2_pitch"]] == 0.5 and kept.values[2, places["amp_attack"]] == 1
    assert kept.changed == [(), ("osc1_waveform",), ("amp_attack", "osc2_pitch")]
    assert kept.values[0, places["filter_kbd_track"]] == 1, "what older banks lack is at its default"
    assert hand_crafted.fitted(AMSYNTH, presets[:1], missing="zero").values[0, places["filter_kbd_track"]] == 0
    assert hand_crafted.fitted(AMSYNTH, presets, excluded="drop").names == ["first", "off"]
    assert AMSYNTH.raw(kept.values).shape == (3, 37)
    with pytest.raises(InvalidValueError, match="another synthesiser"):
        hand_crafted.fitted(DEXED, [RawPreset("x", {"osc_mix": 1.0})])


def test_drawn_presets_survive_the_way_through_a_file(tmp_path):
    values = DEXED.sample(3, 0, 40)
    raw = DEXED.raw(values)
    names = [one.name for one in DEXED.used]
    told = {
        str(number): {"meta": {"name": f"n{number}", "labels": ["sfx"]}, "parameters": dict(zip(names, row.tolist(), strict=True))}
        for number, row in enumerate(raw)
    }
    (tmp_path / "a.json").write_text(json.dumps(told))
    kept = hand_crafted.fitted(DEXED, hand_crafted.read(tmp_path / "a.json"))
    assert np.array_equal(kept.values, values) and not any(kept.changed) and not kept.removed
    assert kept.names[1] == "a.json 1 n1" and kept.labels[0] == ("sfx",)
    for wrong in ("[]", "{", '{"a": 1}'):
        (tmp_path / "a.json").write_text(wrong)
        with pytest.raises(InvalidValueError, match=r"a.json"):
            hand_crafted.read(tmp_path / "a.json")
    with pytest.raises(InvalidValueError, match="no such file"):
        hand_crafted.read(tmp_path / "none")


def test_splits_hang_on_the_presets_not_on_their_order():
    values = AMSYNTH.sample(1, 0, 200)
    found = np.asarray(hand_crafted.splits(values, 42, 0.1))
    order = np.random.default_rng(0).permutation(200)
    assert (found == "test").sum() == 20 and np.array_equal(hand_crafted.splits(values[order], 42, 0.1), found[order])
    assert not np.array_equal(hand_crafted.splits(values, 43, 0.1), found)


@pytest.mark.skipif(not HEXTER.is_dir(), reason="Debian's hexter is not installed")
def test_hexters_banks():
    found = hand_crafted.read(HEXTER)
    assert len(found) == 432 and found[0].name == "dx7_roms.dx7 001 BRASS   1"
    kept = hand_crafted.fitted(DEXED, found)
    assert len(kept.names) + len(kept.removed) == 432 and len(kept.names) == 424


@pytest.mark.skipif(not BANKS.is_dir(), reason="Debian's amsynth is not installed")
def test_amsynths_banks():
    found = hand_crafted.read(BANKS)
    assert len(found) == 3482 and {len(one.parameters) for one in found} == {36, 40, 41}
    kept = hand_crafted.fitted(AMSYNTH, found[:200])
    assert len(kept.names) + len(kept.removed) == 200 and len(kept.names) > 150
