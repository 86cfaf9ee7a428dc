import csv
import json

import numpy as np
import pandas as pd
import pytest
import torch

from core import audio
from core.errors import InvalidValueError
from tasks.evaluate_spatial import stage
from tasks.evaluate_spatial.spec import Recordings, Request, Settings
from tasks.spatial import foa
from tasks.spatial_model import storage
from tasks.spatial_model.directions import as_vectors, great_circle_deg
from tasks.spatial_model.scenes import FrontEnd
from tests.tasks.train_spatial.scenery import CLIPS, RATE, ROOMS, context_for, scenery, train

PLACES = [(90.0, 0.0), (-90.0, 0.0), (0.0, 0.0), (170.0, 50.0)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    found = scenery(tmp_path_factory.mktemp("scenery"))
    train(found, "model", steps=2)
    return found


def plane_waves(folder, convention=foa.AMBIX, sign=1.0, **more):
    """Write noise from four directions, the last one as an event in a longer file, and a table of them."""
    rows = []
    for number, (azimuth, elevation) in enumerate(PLACES):
        sound = 0.1 * np.random.default_rng(number).standard_normal(2 * RATE).astype(np.float32)
        heard = foa.from_ambix(foa.encode(sound, azimuth, elevation), convention)
        row = {"file": f"{number}.wav", "azimuth_deg": sign * azimuth, "elevation_deg": elevation, "start_s": "", "duration_s": ""}
        if number == 3:
            other = foa.from_ambix(foa.encode(sound, -60.0, -30.0), convention)
            heard, row = np.concatenate([other, heard, other], 1), {**row, "start_s": 2.0, "duration_s": 2.0}
        audio.write(folder / f"{number}.wav", heard.astype(np.float32), RATE, "FLOAT")
        rows.append({**row, **more})
    pd.DataFrame(rows).to_csv(folder / "recordings.csv", index=False)
    return folder


def scored(root, name, folder, **settings):
    context = context_for(root, name, "evaluate_spatial")
    request = Request(
        "stages/train_spatial/model", CLIPS, ROOMS, recordings=str(folder), settings=Settings(recordings=Recordings(**settings))
    )
    return stage.run(request, context), json.loads((context.output / "scores.json").read_text())["recordings"]


def test_real_recordings_are_heard_as_their_table_says(root, tmp_path):
    result, scores = scored(root, "plain", plane_waves(tmp_path, source_distance_m=2.0))
    assert result.recordings == scores["items"] == 4 and result.recordings_direction_deg == scores["direction_deg"]["median"]
    assert scores["direction_deg"]["of_mean_intensity"]["mean"] < 1.0, "of a plane wave that is exact, so table and channels agree"
    assert scores["distance_m"]["items"] == 4 and "area_m2" not in scores and scores["zero_shot"]["direction"]["items"] == 4
    model, _ = storage.load(root / "stages/train_spatial/model")
    sounds = []
    for number, (azimuth, elevation) in enumerate(PLACES):
        sound = 0.1 * np.random.default_rng(number).standard_normal(2 * RATE).astype(np.float32)
        sounds.append(
            np.resize(foa.encode(sound, azimuth, elevation)[0], model.sizes.samples)[None] * foa.gains(azimuth, elevation)[:, None]
        )
    with torch.no_grad():
        said = model.hear(*FrontEnd(model.sizes)(torch.from_numpy(np.stack(sounds).astype(np.float32)))).direction.double().numpy()
    angle = great_circle_deg(as_vectors(said), foa.unit_vector(*np.array(PLACES).T))
    assert scores["direction_deg"]["median"] == pytest.approx(np.median(angle), abs=0.1)


def test_conventions_are_taken_as_declared(root, tmp_path):
    expected = scored(root, "ambix", plane_waves(tmp_path))[1]
    (tmp_path / "other").mkdir()
    convention = foa.Convention("FuMa", "FuMa", "right_positive")
    told = {"order": "FuMa", "normalisation": "FuMa", "azimuth_sign": "right_positive", "label_azimuth_sign": "right_positive"}
    found = scored(root, "fuma", plane_waves(tmp_path / "other", convention, -1.0), **told)[1]
    assert found["direction_deg"]["median"] == pytest.approx(expected["direction_deg"]["median"], abs=0.05)
    wrong = scored(root, "wrong", tmp_path / "other")[1]
    assert wrong["direction_deg"]["of_mean_intensity"]["mean"] > 30, "read otherwise than they are, they come from elsewhere"


def test_bad_recordings_are_named_and_a_folder_without_a_table_is_refused(root, tmp_path):
    plane_waves(tmp_path)
    (tmp_path / "0.wav").write_bytes(b"no sound")
    audio.write(tmp_path / "1.wav", np.ones((1, 100), np.float32) * 0.1, RATE)
    rows = list(csv.DictReader((tmp_path / "recordings.csv").open()))
    pd.DataFrame([*rows, {**rows[0], "file": "../secret.wav"}]).to_csv(tmp_path / "recordings.csv", index=False)
    _, scores = scored(root, "bad", tmp_path)
    assert scores["items"] == 2 and set(scores["rejected"]) == {"0.wav", "1.wav", "../secret.wav"}
    assert "four channels" in scores["rejected"]["1.wav"] and "leaves the folder" in scores["rejected"]["../secret.wav"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidValueError, match=r"no table of recordings.*recordings\.csv"):
        scored(root, "none", tmp_path / "empty")
