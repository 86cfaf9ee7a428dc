"""Sending and fetching: what arrives is what was sent, what is there is not sent again, what is not whole is no version."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.datasets import addresses, listing, transfer
from core.datasets.remotes import open_remote
from core.errors import InvalidValueError

ROOT = Path(__file__).resolve().parents[2]


def quiet(done, total):
    assert 0 < done <= total


def remote(address):
    return open_remote(addresses.parse(address))


def push(folder, address):
    return transfer.push(folder, remote(address), address, quiet)


def pull(address, folder):
    return transfer.pull(remote(address), folder, address, quiet)


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["file", "memory", "s3"])
def place(request, tmp_path):
    """An empty place of each kind."""
    name = tmp_path.name.replace("_", "-")
    if request.param == "file":
        return f"file://{tmp_path}/there/{name}"
    if request.param == "s3":
        request.getfixturevalue("s3")
        import s3fs

        system = s3fs.S3FileSystem(endpoint_url=os.environ["SYNTHLOOM_S3_ENDPOINT"], skip_instance_cache=True)
        system.makedirs("bucket", exist_ok=True)
        return f"s3://bucket/sets/{name}"
    return f"memory://{name}"


def test_what_is_pulled_is_what_was_pushed(version, place, tmp_path):
    folder = version()
    assert push(folder, place) == {"sent": 8, "passed_over": 0, "removed": 0, "bytes": 5 * 50 + 8}
    assert pull(place, tmp_path / "back") == {"fetched": 7, "passed_over": 0, "bytes": 258 + (folder / "version.json").stat().st_size}
    assert tree(tmp_path / "back") == tree(folder)
    assert set(remote(place).sizes()) == set(tree(folder)), "nothing of the sending itself is left there"
    assert push(folder, place)["sent"] == 0 and pull(place, tmp_path / "back")["fetched"] == 0


def test_a_newer_version_takes_the_older_ones_place_and_leaves_other_files_alone(version, place, tmp_path):
    push(version(5), place)
    remote(place).send([], {"notes.txt": b"mine"})
    newer = version(3)  # three of the five clips, byte by byte, and no others
    done = push(newer, place)
    assert done["passed_over"] == 4 and done["removed"] == 2, "three clips and the card are there"
    there = set(remote(place).sizes())
    assert there == {*tree(newer), "notes.txt"}
    pull(place, tmp_path / "back")
    assert tree(tmp_path / "back") == tree(newer)


def test_a_place_that_holds_other_things_is_refused_and_left_alone(version, place):
    remote(place).send([], {"thesis/final.tex": b"mine"})
    with pytest.raises(InvalidValueError, match="holds other files"):
        push(version(), place)
    assert set(remote(place).sizes()) == {"thesis/final.tex"}


class Breaks:
    """A remote whose line breaks after some sendings."""

    def __init__(self, inner, after):
        self._inner, self._left = inner, after

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def send(self, files, notes):
        if self._left == 0:
            raise OSError("the line broke")
        self._left -= 1
        self._inner.send(files, notes)


@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_a_push_that_breaks_anywhere_leaves_no_version_and_goes_on(version, place, tmp_path, monkeypatch, after):
    monkeypatch.setattr(transfer, "BATCH_FILES", 2)
    folder = version()
    with pytest.raises(OSError, match="broke"):
        transfer.push(folder, Breaks(remote(place), after), place, quiet)
    with pytest.raises(InvalidValueError, match="sent completely" if after else "no version"):
        pull(place, tmp_path / "back")
    assert push(folder, place)["passed_over"] == min(6, 2 * max(0, after - 1))
    pull(place, tmp_path / "back")
    assert tree(tmp_path / "back") == tree(folder)


def test_a_push_over_an_older_version_that_breaks_is_no_version_either(version, tmp_path, monkeypatch):
    place = f"file://{tmp_path}/there"
    monkeypatch.setattr(transfer, "BATCH_FILES", 2)
    push(version(5, "a"), place)
    with pytest.raises(OSError, match="broke"):
        transfer.push(version(5, "b"), Breaks(remote(place), 2), place, quiet)
    with pytest.raises(InvalidValueError, match="sent completely"):
        pull(place, tmp_path / "back")
    push(version(3, "b"), place)
    assert tree(tmp_path / "there") == tree(version(3, "b")), "files of both earlier versions are gone"


class Dies(Breaks):
    """A remote whose sender dies after so many files and lists, in the middle of the last."""

    def send(self, files, notes):
        for path, data in [*((path, local.read_bytes()) for local, path in files), *notes.items()]:
            self._left -= 1
            self._inner.send([], {path: data if self._left else data[: len(data) // 2]})
            if not self._left:
                raise InterruptedError


# Three lists come first; then 64 files and the list of what has arrived, twice; and so on.
@pytest.mark.parametrize(("lives", "kept"), [(3 + 64 + 1, 0), (3 + 64 + 2, 64), (3 + 66 + 64 + 1, 64), (3 + 66 + 64 + 2, 128)])
def test_a_list_cut_off_by_a_kill_costs_a_batch_and_no_more(version, tmp_path, lives, kept):
    folder, place = version(200), f"file://{tmp_path}/there"
    with pytest.raises(InterruptedError):
        transfer.push(folder, Dies(remote(place), lives), place, quiet)
    assert push(folder, place)["passed_over"] == kept
    assert tree(tmp_path / "there") == tree(folder)


@pytest.mark.parametrize("lives", [3 + 10, 3 + 64, 3 + 64 + 1, 3 + 66 + 20])
def test_going_back_after_a_push_that_died_leaves_no_byte_of_it(version, tmp_path, lives):
    one, two, place = version(200, "a"), version(200, "b"), f"file://{tmp_path}/there"
    push(one, place)
    with pytest.raises(InterruptedError):
        transfer.push(two, Dies(remote(place), lives), place, quiet)
    push(one, place)
    assert all(entry.fits(tmp_path / "there" / entry.path) for entry in listing.read(one))


def start(do, address, folder):
    child = subprocess.Popen([sys.executable, "-m", "core.datasets.transfer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    child.stdin.write(json.dumps({"do": do, "address": address, "folder": str(folder)}) + "\n")
    child.stdin.flush()
    return child


def finish(child):
    lines = [json.loads(line) for line in child.stdout]
    child.stdin.close()
    return child.wait(30), lines[-1]


@pytest.mark.parametrize("do", ["push", "pull"])
def test_a_killed_transfer_goes_on_where_it_was(version, tmp_path, do):
    folder, place, back = version(800), f"file://{tmp_path}/there", tmp_path / "back"
    if do == "pull":
        push(folder, place)
    child = start(do, place, folder if do == "push" else back)
    assert json.loads(child.stdout.readline())["progress"][1] >= 800
    child.send_signal(signal.SIGKILL)
    child.wait()
    code, said = finish(start(do, place, folder if do == "push" else back))
    counted = said["result"]
    assert code == 0 and counted["passed_over"] >= (64 if do == "push" else 1)
    assert counted["passed_over"] + counted["sent" if do == "push" else "fetched"] in (802, 803)
    assert tree(tmp_path / "there") == tree(folder) and (do == "push" or tree(back) == tree(folder))


def test_a_transfer_ends_with_its_parent(version, tmp_path):
    child = start("push", f"file://{tmp_path}/there", version(3000))
    child.stdout.readline()
    child.stdin.close()
    started = time.monotonic()
    assert child.wait(20) == 4 and time.monotonic() - started < 10


def test_damage_on_the_way_or_there_is_found(version, tmp_path):
    folder, there = version(), tmp_path / "there"
    push(folder, f"file://{there}")
    clip = next((there / "train").iterdir())
    as_it_was = clip.read_bytes()
    clip.write_bytes(as_it_was.replace(b"a", b"b"))
    with pytest.raises(InvalidValueError, match="another digest"):
        pull(f"file://{there}", tmp_path / "back")
    clip.write_bytes(as_it_was + b".")
    with pytest.raises(InvalidValueError, match="not what the listing says"):
        pull(f"file://{there}", tmp_path / "back")
    clip.write_bytes(as_it_was)
    half = tmp_path / "back" / "train" / clip.name
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(as_it_was[:10])
    (half.parent / ".stray.part").write_bytes(b"x")
    pull(f"file://{there}", tmp_path / "back")
    assert tree(tmp_path / "back") == tree(folder)


@pytest.mark.parametrize("path", ["../outside", "/tmp/outside", "train/../../outside", "C:\\outside"])
def test_a_hostile_listing_writes_nothing(version, tmp_path, path):
    folder = version()
    (tmp_path / "outside").write_bytes(b"x")
    text = (folder / listing.LISTING).read_text()
    (folder / listing.LISTING).write_text(text + f"#1\n{'0' * 64}  {path}\n")
    with pytest.raises(InvalidValueError):
        pull(f"file://{folder}", tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("change", [{"name": "../x"}, {"name": "current"}, {"version": "../../../x"}, {"schema": 2}, {"version": None}])
def test_hostile_names_are_refused(version, tmp_path, change):
    folder = version()
    head = json.loads((folder / "version.json").read_text()) | change
    (folder / "version.json").write_text(json.dumps(head))
    (folder / listing.LISTING).write_text(listing.render(listing.of_folder(folder)))
    with pytest.raises(InvalidValueError):
        pull(f"file://{folder}", tmp_path / "back")


@pytest.mark.parametrize(
    "text",
    ["s3://key:secret-word@bucket/x", "https://host/x?token=secret-word", "secret-word", "file://", "zip://a::s3://b", "s3://b/../c",
     "file://a/b", "hf://models/a/b", "hf://datasets/a", "hf://datasets/a/b/../../c", "file:///a\nb"],
)  # fmt: skip
def test_addresses_with_secrets_and_other_oddities_are_refused_unshown(text):
    with pytest.raises(InvalidValueError) as error:
        addresses.parse(text)
    assert "secret-word" not in str(error.value) or text == "secret-word"


def test_addresses_are_read_as_typed():
    assert addresses.parse("S3://bucket/a/b/").text == "s3://bucket/a/b"
    assert addresses.parse("hf://datasets/owner/name@main") == addresses.Address("hf", "owner/name", "main")
    assert addresses.parse("file:///a b").path == "/a b"


def test_secrets_of_the_environment_are_in_no_message(version, tmp_path, s3, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "there-is-no-bucket")
    code, said = finish(start("push", "s3://there-is-no-bucket/x", version()))
    assert code == 3 and "there-is-no-bucket" not in json.dumps(said) and "[secret removed]" in said["error"]


def test_an_unknown_kind_of_address_names_what_to_do(version):
    with pytest.raises(InvalidValueError, match=r"envs/exchange/requirements\.in"):
        push(version(), "gs://bucket/x")
