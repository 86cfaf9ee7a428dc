import pytest

from core import atomic


def test_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "f.json"
    atomic.write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        atomic.write_json(path, {"a": float("nan")})
    with pytest.raises(RuntimeError), atomic.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text().strip() == '{\n "a": 1\n}' and [item.name for item in tmp_path.iterdir()] == ["f.json"]


def test_published_folder_is_never_overwritten(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    with pytest.raises(FileExistsError):
        atomic.rename_folder(tmp_path / "a", tmp_path / "b")
    atomic.rename_folder(tmp_path / "a", tmp_path / "deep" / "c")
    assert (tmp_path / "deep" / "c").is_dir()


@pytest.mark.parametrize("links", [True, False])
def test_second_name_replaces_what_had_it_and_outlives_the_first(tmp_path, monkeypatch, links):
    source, target = tmp_path / "shard" / "a", tmp_path / "lasting" / "a"
    atomic.write_text(source, "new")
    atomic.write_text(target, "old")
    if not links:

        def refused(self, target):
            raise PermissionError("no links here")

        monkeypatch.setattr(type(source), "hardlink_to", refused)
    for _ in range(2):
        atomic.link(source, target)
    assert source.samefile(target) == links and [item.name for item in target.parent.iterdir()] == ["a"]
    source.unlink()
    assert target.read_text() == "new"
