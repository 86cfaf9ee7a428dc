"""WAV and SOFA sets in several conventions come in as the same AmbiX; what is declared wrongly or unusable is said."""

import json

import numpy as np
import pandas as pd
import pytest
import sofar
import soundfile

from core.context import Context
from core.contract import build
from core.errors import InvalidValueError
from tasks.import_rirs import reading, stage
from tasks.import_rirs.spec import Request, Settings
from tasks.spatial import catalogue, foa

RATE = 16000
PLACES = [(90.0, 0.0, 1.0), (-60.0, 20.0, 2.5), (10.0, -30.0, 0.7), (170.0, 5.0, 3.0), (-100.0, 0.0, 1.5), (45.0, 45.0, 1.2)]


def response(number, t60_s=0.4):
    """A direct sound and a diffuse decay, AmbiX [4, samples]."""
    azimuth, elevation, distance = PLACES[number]
    times = np.arange(int(0.7 * RATE)) / RATE
    rng = np.random.default_rng(number)
    tail = 0.03 * rng.standard_normal((4, len(times))) * 10 ** (-3 * times / t60_s) * np.array([[1], [0.58], [0.58], [0.58]])
    start = 100 + round(distance / 343 * RATE)
    tail[:, : start + 60] = 0
    tail[:, start] += foa.gains(azimuth, elevation) / distance
    return tail.astype(np.float32)


def wav_set(folder, convention=foa.AMBIX, mirrored_labels=False, **more):
    folder.mkdir(parents=True)
    rows = []
    for number, (azimuth, elevation, distance) in enumerate(PLACES):
        soundfile.write(folder / f"{number}.wav", foa.from_ambix(response(number), convention).T, RATE, subtype="FLOAT")
        rows.append({
            "file": f"{number}.wav", "azimuth_deg": -azimuth if mirrored_labels else azimuth, "elevation_deg": elevation,
            "source_distance_m": distance, "area_m2": 40.0, "room_id": f"room{number % 3}",
        } | more)  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "rirs.csv", index=False)
    return folder


def taken(root, source, name="set", **settings):
    output = root / "stages" / name
    output.mkdir(parents=True)
    result = stage.run(
        Request(str(source), Settings(sample_rate_hz=RATE, **settings)), Context(output, root, emit=lambda kind, values: None)
    )
    return result, catalogue.open_catalogue(output)


def test_wav_sets_of_any_declared_convention_come_in_as_ambix(tmp_path):
    for number, convention in enumerate((
        foa.AMBIX, foa.Convention("FuMa", "FuMa"), foa.Convention(normalisation="N3D"), foa.Convention(normalisation="DISSE"),
        foa.Convention(azimuth_sign="right_positive"),
    )):  # fmt: skip
        source = wav_set(tmp_path / f"source{number}", convention)
        told = {"order": convention.order, "normalisation": convention.normalisation, "azimuth_sign": convention.azimuth_sign}
        result, found = taken(tmp_path, source, f"set{number}", **told)
        assert result.responses == 6 and result.rooms == 3 and result.rejected == 0 and result.direction_error_deg < 1
        assert found.convention == foa.AMBIX and found.table["split"].unique().tolist() == ["test"]
        for row in range(6):
            assert np.allclose(found.rir(row), response(row), atol=1e-6)
        assert found.table["azimuth_deg"].tolist() == [place[0] for place in PLACES]
        assert found.table["fullband_T30_ms"].to_numpy() == pytest.approx(400, rel=0.06)


def test_labels_of_the_other_hand_are_turned_round_and_wrong_declarations_noticed(tmp_path):
    source = wav_set(tmp_path / "source", mirrored_labels=True)
    with pytest.raises(InvalidValueError, match="label_azimuth_sign"):
        taken(tmp_path, source, "wrong")
    _, found = taken(tmp_path, source, "right", label_azimuth_sign="right_positive")
    assert found.table["azimuth_deg"].tolist() == [place[0] for place in PLACES]
    with pytest.raises(InvalidValueError, match="order"):
        taken(tmp_path, wav_set(tmp_path / "fuma", foa.Convention("FuMa", "FuMa")), "unsaid")


def test_splits_by_room_and_other_rates(tmp_path):
    source = wav_set(tmp_path / "source")
    _, found = taken(tmp_path, source, split="by_room", val_share=0.4, test_share=0.3)
    by_room = found.table.groupby("room_id")["split"].nunique()
    assert (by_room == 1).all() and set(found.table["split"]) <= {"train", "val", "test"}
    settings = Settings(split="by_room", val_share=0.4, test_share=0.3)
    splits = [stage.split_of(f"room{number}", settings) for number in range(2000)]
    assert [splits.count(name) / 2000 for name in ("train", "val", "test")] == pytest.approx([0.3, 0.4, 0.3], abs=0.04)
    output = tmp_path / "stages" / "rate"
    output.mkdir()
    stage.run(Request(str(source), Settings(sample_rate_hz=8000)), Context(output, tmp_path))
    assert catalogue.open_catalogue(output).rir(0).shape == (4, 5600)


def test_unusable_responses_are_listed_and_too_many_fail(tmp_path):
    source = wav_set(tmp_path / "source")
    soundfile.write(source / "0.wav", np.zeros((2000, 4)), RATE)
    (source / "1.wav").write_bytes(b"no sound")
    soundfile.write(source / "2.wav", np.random.default_rng(0).standard_normal((2000, 2)) / 9, RATE)
    result, found = taken(tmp_path, source, max_reject_fraction=0.5)
    assert result.responses == 3 and result.rejected == 3
    reasons = {one["file"]: one["reason"] for one in found.meta["rejected"]}
    assert "silent" in reasons["0.wav"] and "unreadable" in reasons["1.wav"] and "2 channels" in reasons["2.wav"]
    with pytest.raises(InvalidValueError, match="max_reject_fraction"):
        taken(tmp_path, source, "strict")
    table = pd.read_csv(source / "rirs.csv")
    table.assign(file="../0.wav").to_csv(source / "rirs.csv", index=False)
    with pytest.raises(InvalidValueError, match="leaves"):
        taken(tmp_path, source, "outside")
    table.drop(columns="area_m2").to_csv(source / "rirs.csv", index=False)
    with pytest.raises(InvalidValueError, match="area_m2"):
        taken(tmp_path, source, "columns")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidValueError, match="SOFA"):
        taken(tmp_path, tmp_path / "empty", "nothing")


def sofa_file(path, view=(1.0, 0.0, 0.0), receivers=4, corners=True):
    """Responses as SOFA's SingleRoomSRIR, sources placed in the room's coordinates around a listener who looks along ``view``."""
    sofa = sofar.Sofa("SingleRoomSRIR", verify=False)
    turn = np.degrees(np.arctan2(view[1], view[0]))
    listener = np.array([3.0, 2.0, 1.5])
    data = np.stack([response(number) for number in range(len(PLACES))]).astype(float)
    sofa.Data_IR = np.concatenate([data] * 3, axis=1)[:, :receivers]
    sofa.Data_SamplingRate, sofa.Data_Delay = RATE, np.zeros((1, receivers))
    sofa.ListenerPosition, sofa.ListenerView = np.tile(listener, (len(data), 1)), np.array([view])
    sofa.MeasurementDate = np.zeros(len(data))
    for name in ("ReceiverDescriptions", "EmitterDescriptions"):  # optional; sofar 1.3 cannot write them
        sofa.delete(name)
    sofa.SourcePosition = np.stack(
        [listener + distance * foa.unit_vector(azimuth + turn, elevation) for azimuth, elevation, distance in PLACES]
    )
    sofa.ReceiverPosition, sofa.ReceiverView, sofa.ReceiverUp = (np.zeros((receivers, 3, 1)) for _ in range(3))
    if corners:
        sofa.GLOBAL_RoomType, sofa.RoomCornerA, sofa.RoomCornerB = "shoebox", np.array([[0.0, 0, 0]]), np.array([[8.0, 5.0, 3.0]])
    else:
        sofa.GLOBAL_RoomType = "reverberant"
    sofar.write_sofa(str(path), sofa)  # which verifies it


@pytest.mark.parametrize("view", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (-0.6, 0.8, 0.0)])
def test_sofa_sources_are_placed_as_the_listener_sees_them(tmp_path, view):
    (tmp_path / "source").mkdir()
    sofa_file(tmp_path / "source" / "hall.sofa", view, receivers=9)
    result, found = taken(tmp_path, tmp_path / "source")
    assert result.responses == 6 and result.direction_error_deg < 1, "higher orders are left out"
    expected = np.array(PLACES)
    assert found.table["azimuth_deg"].to_numpy() == pytest.approx(expected[:, 0], abs=1e-3)
    assert found.table["elevation_deg"].to_numpy() == pytest.approx(expected[:, 1], abs=1e-3)
    assert found.table["source_distance_m"].to_numpy() == pytest.approx(expected[:, 2], abs=1e-4)
    assert found.table["area_m2"].unique().tolist() == [40.0] and found.table["room_id"].unique().tolist() == ["hall"]
    assert np.allclose(found.rir(3), response(3), atol=1e-6)


def test_sofa_files_without_a_size_need_one_said(tmp_path):
    (tmp_path / "source").mkdir()
    sofa_file(tmp_path / "source" / "hall.sofa", corners=False)
    with pytest.raises(InvalidValueError, match="label is missing"):
        taken(tmp_path, tmp_path / "source", "unsaid")
    _, found = taken(tmp_path, tmp_path / "source", "said", areas_m2={"hall": 120.0})
    assert found.table["area_m2"].tolist() == [120.0] * 6
    sofa_file(tmp_path / "source" / "hall.sofa", receivers=2)
    assert all("2 receivers" in reason for _, reason in reading.responses(tmp_path / "source", Settings()))
    (tmp_path / "source" / "hall.sofa").write_bytes(b"no SOFA")
    assert next(reading.responses(tmp_path / "source", Settings()))[1].startswith("unreadable")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"val_share": 0.8, "test_share": 0.4}, "val_share"), ({"order": "SID"}, "ACN"), ({"tolerance_deg": 0}, "tolerance")],
)
def test_wrong_requests_are_refused(wrong, said):
    with pytest.raises(InvalidValueError, match=said):
        build(Request, json.loads(json.dumps({"source": "x", "settings": wrong})))
