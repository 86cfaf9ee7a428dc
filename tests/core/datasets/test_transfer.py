"""What a push that died leaves at the place it sent to. The kinds of places themselves are tested from the command line."""

import pytest

from core.datasets import listing, transfer

NAMES = [f"train/{number:03}.flac" for number in range(200)]


class Folder:
    """A folder as a place; dies after so many files and notes have been written, in the middle of the last."""

    def __init__(self, base, lives=10**6):
        self.base, self.lives = base, lives

    def sizes(self):
        return {path.relative_to(self.base).as_posix(): path.stat().st_size for path in self.base.rglob("*") if path.is_file()}

    def read(self, path, limit):
        return (self.base / path).read_bytes()[:limit]

    def send(self, files, notes):
        for path, data in [*((path, local.read_bytes()) for local, path in files), *notes.items()]:
            self.lives -= 1
            (self.base / path).parent.mkdir(parents=True, exist_ok=True)
            (self.base / path).write_bytes(data if self.lives else data[: len(data) // 2])
            if not self.lives:
                raise InterruptedError

    def remove(self, paths):
        for path in paths:
            (self.base / path).unlink()


def version(folder, content):
    """Write a version of 200 files whose bytes differ from another's, not their sizes."""
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content + name.encode())
    (folder / listing.VERSION_FILE).write_bytes(b"{}")
    (folder / listing.LISTING).write_text(listing.render(listing.of_folder(folder)))
    return folder


def pushed(folder, remote):
    return transfer.push(folder, remote, "there", lambda done, total: None)


# Three lists come first; then 64 files and the list of what has arrived, twice; and so on.
@pytest.mark.parametrize(("lives", "kept"), [(3 + 64 + 1, 0), (3 + 64 + 2, 64), (3 + 66 + 64 + 1, 64), (3 + 66 + 64 + 2, 128)])
def test_a_list_cut_off_by_a_kill_costs_a_batch_and_no_more(tmp_path, lives, kept):
    folder = version(tmp_path / "one", b"a")
    with pytest.raises(InterruptedError):
        pushed(folder, Folder(tmp_path / "there", lives))
    assert pushed(folder, Folder(tmp_path / "there"))["passed_over"] == kept
    assert sorted(Folder(tmp_path / "there").sizes()) == sorted([*NAMES, listing.VERSION_FILE, listing.LISTING])


@pytest.mark.parametrize("lives", [3 + 10, 3 + 64, 3 + 64 + 1, 3 + 66 + 20])
def test_going_back_after_a_push_that_died_leaves_no_byte_of_it(tmp_path, lives):
    one, two, there = version(tmp_path / "one", b"a"), version(tmp_path / "two", b"b"), tmp_path / "there"
    pushed(one, Folder(there))
    with pytest.raises(InterruptedError):
        pushed(two, Folder(there, lives))
    pushed(one, Folder(there))
    assert all(entry.fits(there / entry.path) for entry in listing.read(one))
