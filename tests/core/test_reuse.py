"""Clips taken over from earlier outputs: only where all that decides them is equal, and never unseen."""

import json
from dataclasses import dataclass

import pytest

from core import atomic, donors, keys, manifest, reuse
from core.context import CLIPS_MADE, CLIPS_REUSED, Context
from core.contract import Stage
from core.graph import Step
from core.store import Store

STAGE = Stage("echo", "test", 1, 10, 10.0, row_inputs=("clips", "settings.count"))


@dataclass(frozen=True)
class Settings:
    count: int = 1
    gain: float = 1.0


@dataclass(frozen=True)
class Request:
    clips: str
    settings: Settings = Settings()
    shards: int = 1


def table(root, name, rows):
    """An input table: words by clip."""
    folder = root / "stages/words" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "words.json").write_text(json.dumps(rows))
    return f"stages/words/{name}"


def hangs_on(root):
    return lambda request: {
        f"{clip}-{copy}": word for clip, word in json.loads((root / request.clips / "words.json").read_text()).items()
        for copy in range(request.settings.count)
    }  # fmt: skip


def made(root, key, request, given=(), afterwards=None):
    """Run a stage whose sounds are words; returns its manifest, the counts and the log."""
    output = root / "stages/echo" / key
    output.mkdir(parents=True)
    told, metrics = [], {}

    def emit(kind, values):
        told.append(values.get("message", ""))
        if kind == "metric":
            metrics[values["name"]] = values["value"]

    context = Context(output, root, final=f"stages/echo/{key}", emit=emit, donors=tuple(given))
    decide, rows = hangs_on(root), []
    with reuse.earlier(STAGE, request, context, decide) as earlier:
        for clip, word in decide(request).items():
            row = earlier.clip(clip, output)
            if row is None:
                path = output / "audio" / f"{clip}.wav"
                path.parent.mkdir(exist_ok=True)
                path.write_text(word)
                row = manifest.row(clip, context.published(path), "echo", sha256=keys.file_digest(path), label=word)
            rows.append(row)
    manifest.write(output, manifest.frame(rows))
    (output / "result.json").write_text("{}")
    files = {path.relative_to(output).as_posix(): keys.file_digest(path) for path in output.rglob("*") if path.is_file()}
    settings = {"count": request.settings.count, "gain": request.settings.gain}
    identity = {"stage": "echo", "request": {"clips": request.clips, "settings": settings, "shards": 1}}
    atomic.write_json(output / "done.json", {"files": files, "identity": identity})
    return manifest.read(output).set_index("clip_id"), metrics, told


@pytest.fixture
def first(tmp_path):
    words = table(tmp_path, "old", {"a": "apple", "b": "bear", "c": "cat"})
    made(tmp_path, "1", Request(words))
    return tmp_path


def files(folder):
    return {path.name: path.read_bytes() for path in (folder / "audio").iterdir()}


def test_only_changed_and_new_rows_are_made_and_the_outcome_is_that_of_a_fresh_run(first):
    request = Request(table(first, "new", {"a": "apple", "b": "bird", "d": "dog"}))
    rows, metrics, told = made(first, "2", request, ["stages/echo/1"])
    assert metrics == {CLIPS_MADE: 2, CLIPS_REUSED: 1} and told[-1] == "1 clips taken over from earlier outputs, 2 made"
    assert rows.loc["a-0", "path"] == "stages/echo/2/audio/a-0.wav"
    made(first, "3", request)
    assert files(first / "stages/echo/2") == files(first / "stages/echo/3")
    ours, fresh = (manifest.read(first / "stages/echo" / key) for key in "23")
    assert ours.drop(columns="path").equals(fresh.drop(columns="path"))


def test_rows_are_compared_in_the_donors_own_tables_and_settings(first):
    words = "stages/words/old"
    _, metrics, _ = made(first, "2", Request(words, Settings(count=3)), ["stages/echo/1"])
    assert metrics == {CLIPS_MADE: 6, CLIPS_REUSED: 3}
    (first / words / "words.json").unlink()
    _, metrics, told = made(first, "3", Request(table(first, "new", {"a": "apple"})), ["stages/echo/1", "stages/echo/nothing"])
    assert metrics == {CLIPS_MADE: 1, CLIPS_REUSED: 0} and "nothing is taken over from stages/echo/1" in told[0]


def test_gone_and_damaged_files_are_made_again_and_a_second_donor_helps(first):
    made(first, "2", Request("stages/words/old"))
    audio = first / "stages/echo/1/audio"
    (audio / "a-0.wav").write_text("applf")
    (audio / "b-0.wav").unlink()
    rows, metrics, told = made(first, "3", Request(table(first, "x", {"a": "apple", "b": "bear", "c": "cat"})), ["stages/echo/1"])
    assert metrics == {CLIPS_MADE: 2, CLIPS_REUSED: 1} and sum("made again" in line for line in told) == 2
    assert files(first / "stages/echo/3") == files(first / "stages/echo/2") and len(rows) == 3
    _, metrics, _ = made(first, "4", Request("stages/words/x"), ["stages/echo/1", "stages/echo/2"])
    assert metrics == {CLIPS_MADE: 0, CLIPS_REUSED: 3}


def test_a_manifest_that_was_tampered_with_is_not_believed(first):
    path = first / "stages/echo/1"
    rows = manifest.read(path)
    rows["label"] = "poison"
    manifest.write(path, rows)
    found, metrics, told = made(first, "2", Request("stages/words/old"), ["stages/echo/1"])
    assert metrics[CLIPS_REUSED] == 0 and set(found["label"]) == {"apple", "bear", "cat"} and "not what its record says" in told[0]


def step(key, **changed):
    request = {"clips": "stages/words/" + key, "settings": {"count": 1, "gain": 1.0}, "shards": 1}
    identity = {"stage": "echo", "version": 1, "code": "c", "environment": "e", "request": request | changed.pop("request", {}), **changed}
    return Step(STAGE, None, key, "echo", identity, ())


def finished(root, work, at):
    folder = root / "stages/echo" / work.key
    folder.mkdir(parents=True)
    record = {"stage": "echo", "key": work.key, "result": {}, "identity": work.identity, "usage": {}, "files": {}, "finished_at": at}
    (folder / "done.json").write_text(json.dumps(record))


def test_donors_differ_in_tables_and_shards_alone_and_the_newest_come_first(tmp_path):
    names = [f"{number:020x}" for number in range(7)]
    finished(tmp_path, step(names[0]), 1.0)
    finished(tmp_path, step(names[1], request={"shards": 9, "settings": {"count": 7, "gain": 1.0}}), 2.0)
    finished(tmp_path, step(names[2], code="other"), 3.0)
    finished(tmp_path, step(names[3], request={"settings": {"count": 1, "gain": 2.0}}), 4.0)
    finished(tmp_path, step(names[4], environment="other"), 5.0)
    finished(tmp_path, step(names[5] + ".unrecorded-1-1"), 6.0)
    store, wanted = Store(tmp_path), step(names[6])
    assert donors.find(store, wanted) == [f"stages/echo/{names[1]}", f"stages/echo/{names[0]}"]
    finished(tmp_path, wanted, 7.0)
    assert len(donors.find(store, wanted)) == 2, "never itself"
    plain = Step(Stage("echo", "test", 1, 10, 10.0), None, names[6], "echo", wanted.identity, ())
    assert donors.find(store, plain) == []
