import os
import time

import numpy as np
import pytest

from core import audio, manifest
from core.errors import InvalidValueError
from core.publish import CURRENT, publish


def dataset(root, folder, count):
    rows = []
    for number in range(count):
        path = f"{folder}/{number}.wav"
        audio.write(root / path, np.full(800, 0.1, np.float32), 8000)
        rows.append(manifest.row(manifest.clip_id(folder, number), path, "gold", label="a", split="train", duration_s=0.1))
    manifest.write(root / folder, manifest.frame(rows))
    return folder


def test_new_content_makes_a_version_and_old_content_makes_none(tmp_path):
    first = dataset(tmp_path, "stages/prepare/1", 3)
    target, fresh = publish(tmp_path, "set", "audiofolder", [first])
    current = tmp_path / "published/set" / CURRENT
    assert fresh and current.resolve() == target and len(list(current.glob("train/*.wav"))) == 3
    assert publish(tmp_path, "set", "audiofolder", [first]) == (target, False)
    second = dataset(tmp_path, "stages/prepare/2", 4)
    newer, fresh = publish(tmp_path, "set", "audiofolder", [second])
    assert fresh and newer != target and current.resolve() == newer and target.exists()
    assert not [path for path in current.parent.iterdir() if path.name.startswith(".")]


def test_old_versions_are_removed_but_never_the_present_one(tmp_path):
    made = []
    for number in range(5):
        made.append(publish(tmp_path, "set", "csv", [dataset(tmp_path, f"stages/prepare/{number}", 2)], keep=2)[0])
        stamp = time.time() - 100 + number
        os.utime(made[-1], (stamp, stamp))
    assert [path.exists() for path in made] == [False, False, False, True, True]
    publish(tmp_path, "set", "csv", ["stages/prepare/3"], keep=1)  # going back to an older content
    assert (tmp_path / "published/set" / CURRENT).resolve() == made[3] and not made[4].exists()


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a/b", "a" * 200])
def test_name_cannot_leave_the_folder(tmp_path, name):
    with pytest.raises(InvalidValueError, match="publish_as"):
        publish(tmp_path, name, "csv", [])
