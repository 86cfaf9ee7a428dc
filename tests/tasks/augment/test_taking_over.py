import numpy as np

from core import audio, manifest
from tasks.augment.spec import Request, Settings
from tasks.augment.stage import run, run_shards
from tests.donors import bytes_of, finish, heir

RATE = 8000


def gold(root, name, clips):
    """Gold clips {id: (label, frequency)}."""
    rows = []
    for clip, (label, frequency) in clips.items():
        path = root / f"stages/stratify/{name}/{clip}.flac"
        audio.write(path, (0.3 * np.sin(frequency * np.arange(1600) / RATE)).astype(np.float32), RATE)
        rows.append(manifest.row(clip, f"stages/stratify/{name}/{clip}.flac", "gold", label=label, split="train", sha256=f"{frequency}"))
    manifest.write(root / "stages/stratify" / name, manifest.frame(rows))
    return f"stages/stratify/{name}"


def made(root, name, clips, shards, donors=(), one_child=True, **settings):
    context, counts = heir(root, "augment", name, donors)
    request = Request(clips, shards, Settings(method="random_noise", **settings))
    for group in [list(range(shards))] if one_child else [[shard] for shard in range(shards)]:
        run_shards(request, context, group)
    result = run(request, context)
    return context.output, request, result, counts


def test_copies_of_unchanged_clips_are_taken_over_whatever_the_shards(tmp_path):
    before = {f"{number:02d}": ("ab"[number % 2], 100 + number) for number in range(9)}
    output, request, _, counts = made(tmp_path, "1", gold(tmp_path, "old", before), 3)
    assert counts == {"clips_made": 18, "clips_reused": 0}
    donor = finish(output, request)
    after = {**before, "03": ("c", 103), "05": ("b", 999), "new": ("a", 500)}
    del after["07"]
    clips = gold(tmp_path, "new", after)
    ours, _, result, counts = made(tmp_path, "2", clips, 2, [donor])
    assert counts == {"clips_made": 6, "clips_reused": 12}
    fresh, _, again, _ = made(tmp_path, "3", clips, 5)
    assert bytes_of(ours) == bytes_of(fresh) and result == again
    assert {path.split("/")[2] for path in manifest.read(ours)["path"]} == {"2"}
    assert all((tmp_path / path).is_file() for path in manifest.read(ours)["path"])


def test_more_copies_of_a_clip_are_other_work(tmp_path):
    clips = gold(tmp_path, "old", {"a": ("x", 100), "b": ("y", 200)})
    output, request, _, _ = made(tmp_path, "1", clips, 1)
    # The settings are part of a copy's name; the engine would not name such a donor, and the stage does not believe it either.
    _, _, _, counts = made(tmp_path, "2", clips, 1, [finish(output, request)], num_iters=3)
    assert counts == {"clips_made": 6, "clips_reused": 0}
