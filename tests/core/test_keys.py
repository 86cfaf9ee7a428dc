import os
import shutil

import pytest

from core import keys
from core.contract import load_spec
from core.errors import InvalidValueError


@pytest.fixture
def digests(tmp_path):
    return keys.FileDigests(tmp_path / "digests.json")


def key(digests, **fields):
    spec = load_spec("count")
    return keys.key_of(keys.identity(spec.STAGE, spec.Request(**fields), digests))


def test_same_request_same_key_other_request_other_key(digests, extra_stages):
    assert key(digests, items=3) == key(digests, items=3) != key(digests, items=4)


def test_runtime_settings_stay_out(digests, extra_stages):
    assert key(digests, batch_size=1) == key(digests, batch_size=64)


def test_content_of_outside_files_counts_not_their_name(digests, extra_stages, tmp_path):
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("x")
    second.write_text("x")
    assert key(digests, source=str(first)) == key(digests, source=str(second))
    second.write_text("y")
    os.utime(second, ns=(1, 1))
    assert key(digests, source=str(first)) != key(digests, source=str(second))


def test_tree_digest_sees_renames_and_new_files(digests, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a").write_text("1")
    before = digests.tree(folder)
    (folder / "a").rename(folder / "b")
    renamed = digests.tree(folder)
    (folder / "c").write_text("2")
    assert len({before, renamed, digests.tree(folder)}) == 3


def test_missing_outside_file_is_named(digests, extra_stages, tmp_path):
    with pytest.raises(InvalidValueError, match="no such file or folder"):
        key(digests, source=str(tmp_path / "nothing"))


def test_digest_memory_survives_and_a_damaged_one_is_rebuilt(tmp_path):
    path, memory = tmp_path / "f", tmp_path / "digests.json"
    path.write_text("x")
    first = keys.FileDigests(memory)
    digest = first.file(path)
    first.save()
    assert keys.FileDigests(memory).file(path) == digest
    memory.write_text("{broken")
    assert keys.FileDigests(memory).file(path) == digest


@pytest.fixture
def copied_project(tmp_path):
    root = tmp_path / "project"
    shutil.copytree(keys.ROOT / "core", root / "core")
    stage = root / "tasks" / "toy"
    stage.mkdir(parents=True)
    (stage / "spec.py").write_text('"""Doc."""\nX = 1\n')
    (stage / "stage.py").write_text('"""Doc."""\nfrom core import manifest\nimport os\n\n\ndef run():\n    """Doc."""\n    return 1\n')
    return root


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    keys.code_digest.cache_clear()


def test_comments_docstrings_and_formatting_are_no_code(copied_project):
    before = keys.code_digest("toy", copied_project)
    edit(copied_project / "tasks/toy/stage.py", '    """Doc."""\n    return 1', '    """Other words."""\n    # why\n    return  1')
    assert keys.code_digest("toy", copied_project) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("tasks/toy/stage.py", "return 1", "return 2"),
        ("core/manifest.py", "SCHEMA_VERSION = 1", "SCHEMA_VERSION = 2"),  # imported by the stage
    ],
)
def test_code_changes_change_the_digest_also_behind_an_import(copied_project, file, old, new):
    before = keys.code_digest("toy", copied_project)
    edit(copied_project / file, old, new)
    assert keys.code_digest("toy", copied_project) != before


def test_code_the_stage_does_not_import_has_no_say(copied_project):
    before = keys.code_digest("toy", copied_project)
    edit(copied_project / "core/leases.py", "POLL_S = 0.05", "POLL_S = 0.5")
    assert keys.code_digest("toy", copied_project) == before


def test_data_files_of_a_stage_count(copied_project):
    before = keys.code_digest("toy", copied_project)
    (copied_project / "tasks/toy/words.json").write_text("[]")
    keys.code_digest.cache_clear()
    assert keys.code_digest("toy", copied_project) != before


def test_dependencies_are_found_in_nested_requests(extra_stages):
    spec = load_spec("count")
    path = "stages/prepare/" + "ab" * 10
    assert keys.dependencies(spec.Request(before=path + "/audio")) == [("prepare", "ab" * 10)]
    assert keys.dependencies(spec.Request(before="stages/prepare/short")) == []


def test_unchanged_file_is_not_read_again(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(b"sound")
    digests = keys.FileDigests(tmp_path / "memory.json")
    digests.file(path)
    digests.save()
    monkeypatch.setattr(keys, "file_digest", lambda path: pytest.fail("read again"))
    assert keys.FileDigests(tmp_path / "memory.json").file(path)


def test_model_of_a_hub_is_known_by_its_name_and_other_missing_paths_are_refused(digests, extra_stages):
    named = [key(digests, source=name) for name in ("owner/model", "owner/model@abc123", "owner/other")]
    assert len(set(named)) == 3 and named[0] == key(digests, source="owner/model")
    for missing in ("/nowhere/model", "model", "a/b/c"):
        with pytest.raises(InvalidValueError, match="no such file"):
            key(digests, source=missing)


def test_a_name_on_a_hub_is_one_only_where_no_such_file_or_folder_is(tmp_path):
    for name in ("owner/model", "owner/model.v2@0123abc", "stabilityai/stable-audio-open-1.0"):
        assert keys.is_hub_name(name, tmp_path)
    for other in ("", "model", "/owner/model", "./owner/model", "owner/model/part", "owner/model@", "../owner"):
        assert not keys.is_hub_name(other, tmp_path), other
    (tmp_path / "owner/model").mkdir(parents=True)
    assert not keys.is_hub_name("owner/model", tmp_path) and keys.is_hub_name("owner/other", tmp_path)
