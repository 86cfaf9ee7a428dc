"""Every kind of damage is found, and a sound version has no findings."""

import json
import shutil

import pytest

from core import audio
from core.datasets import headers, listing
from core.datasets.verification import verify
from core.datasets.versions import publish
from core.errors import InvalidValueError
from tests import datasets as toy

FORMS = ["audiofolder", "csv", "lhotse", "webdataset"]


@pytest.fixture
def version(tmp_path):
    def make(form="audiofolder"):
        return publish(tmp_path, form, form, [toy.gold(tmp_path), toy.made(tmp_path)])[0]

    return make


def found(folder):
    return {(item.path, item.what) for item in verify(folder)}


def sealed(folder):
    """Write the listing anew, as somebody would who changes files and knows about digests."""
    (folder / listing.LISTING).write_text(listing.render(listing.of_folder(folder)))


@pytest.mark.parametrize("form", FORMS)
def test_what_was_published_has_no_findings(version, form):
    folder = version(form)
    assert verify(folder) == [] and verify(folder.parent / "current") == []


@pytest.mark.parametrize("form", FORMS)
def test_one_flipped_bit_anywhere_is_found(version, form):
    folder = version(form)
    for path in [path for path in sorted(folder.rglob("*")) if path.is_file()]:
        as_it_was = path.read_bytes()
        for place in {0, len(as_it_was) // 2, len(as_it_was) - 1}:
            changed = bytearray(as_it_was)
            changed[place] ^= 0x20
            path.write_bytes(changed)
            assert verify(folder), (path, place)
        path.write_bytes(as_it_was)
    assert verify(folder) == []


def test_extra_missing_cut_short_and_linked_files_are_named(version):
    folder = version()
    (folder / "train" / "note.txt").write_text("x")
    first, second, third = sorted((folder / "train").glob("*.flac"))[:3]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    shutil.copyfile(third, folder.parent / "outside.flac")
    third.unlink()
    third.symlink_to(folder.parent / "outside.flac")
    assert {("train/note.txt", "extra"), (f"train/{first.name}", "missing"), (f"train/{second.name}", "size"),
            (f"train/{third.name}", "link")} <= found(folder)  # fmt: skip


def test_a_rewritten_listing_does_not_hide_files_without_rows_and_rows_without_files(version):
    folder = version()
    first, second = sorted((folder / "test").glob("*.flac"))
    first.rename(first.with_name("other.flac"))
    second.write_bytes(b"fLaC" + bytes(100))
    sealed(folder)
    assert {(f"test/{first.name}", "missing"), ("test/other.flac", "row"), (f"test/{second.name}", "header")} <= found(folder)


def test_counts_lengths_and_rates_are_held_against_the_files(version):
    folder = version()
    version_file = folder / "version.json"
    said = json.loads(version_file.read_text())
    said["counts"]["label"]["dog"] += 1
    version_file.write_text(json.dumps(said))
    clip = next((folder / "validation").glob("*.flac"))
    audio.write(clip, toy.tone(100, 0.2, 8000), 8000)
    sealed(folder)
    details = [item.detail for item in verify(folder) if item.path == f"validation/{clip.name}"]
    assert ("version.json", "count") in found(folder) and len(details) == 2
    assert "sample_rate_hz 8000, the table says 16000" in details and "0.200 s long, the table says 0.100 s" in details


def test_readers_own_tables_are_held_against_the_files(version):
    folder = version()
    table = folder / "test" / "metadata.jsonl"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[1:]))
    sealed(folder)
    assert [item.detail for item in verify(folder) if item.what == "row"] == ["not named by the readers' own table"]


def test_a_table_misses_clips_that_left_the_data_root(version, tmp_path):
    folder = version("csv")
    gone, changed = sorted((tmp_path / toy.GOLD / "audio").glob("*.flac"))[:2]
    gone.unlink()
    changed.write_bytes(b"x")
    assert sorted((item.what, item.path.rpartition("/")[2]) for item in verify(folder)) == [
        ("digest", changed.name),
        ("missing", gone.name),
    ]


@pytest.mark.parametrize("name", ["files.sha256", "version.json", "clips.csv"])
def test_a_version_without_one_of_its_tables_is_a_finding_not_a_traceback(version, name):
    folder = version()
    (folder / name).unlink()
    assert any(item.what == "unreadable" for item in verify(folder))


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "C:/x", "a\\b", "a/\x01", "", ".", "./a", "a//b", "nul.txt", "x" * 2000, "a/" + "x" * 256]
)
def test_a_listing_names_no_path_outside(path):
    with pytest.raises(InvalidValueError):
        listing.parse(listing.render([listing.Entry(path, 1, "0" * 64)]))


def test_a_listing_is_only_what_was_rendered():
    entries = [listing.Entry("b", 1, "0" * 64), listing.Entry("a", 2, "f" * 64)]
    text = listing.render(entries)
    assert listing.parse(text) == [entries[1], entries[0]]
    for other in (text.upper(), text + "x", text[:-1], text.replace("#1", "#01x"), ""):
        with pytest.raises(InvalidValueError, match="damaged"):
            listing.parse(other)
    with pytest.raises(InvalidValueError, match="two files of one name"):
        listing.parse(listing.render([listing.Entry("A", 1, "0" * 64), entries[1]]))


@pytest.mark.parametrize(("name", "subtype"), [("a.flac", "PCM_16"), ("a.flac", "PCM_24"), ("a.wav", "PCM_16"), ("a.wav", "FLOAT")])
def test_headers_agree_with_libsndfile(tmp_path, name, subtype):
    import numpy as np
    import soundfile

    soundfile.write(tmp_path / name, np.zeros((1234, 3)), 44100, subtype=subtype)
    assert headers.read(tmp_path / name) == headers.Header(44100, 3, 1234)
    data = (tmp_path / name).read_bytes()
    for damaged in (data[:20], b"", b"junk" + data[4:]):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(headers.Unreadable):
            headers.read(tmp_path / name)
    assert headers.read(tmp_path / "a.ogg") is None
