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
