"""A version: frozen once, described completely, found by name, and never half there."""

import os
import shutil
import subprocess
import time

import pandas as pd
import pytest
from huggingface_hub import DatasetCard

from core import runs
from core.attribution import COLUMNS
from core.datasets import card, summary, verification, versions
from core.datasets.versions import CURRENT, publish
from core.errors import InvalidValueError
from core.locks import try_lock
from tests import datasets as toy

FACTS = {"command": "./run.sh synthio", "settings": {"num_samples": 5}, "accuracy": {"gold": 0.5, "synthio": 0.75}, "fad": float("nan")}


@pytest.fixture
def sources(tmp_path):
    return [toy.gold(tmp_path), toy.made(tmp_path)]


def test_new_content_makes_a_version_and_old_content_makes_none(tmp_path):
    first = toy.gold(tmp_path, 3, "stages/prepare/1")
    target, fresh = publish(tmp_path, "set", "audiofolder", [first])
    current = tmp_path / "published/set" / CURRENT
    assert fresh and current.resolve() == target and len(list(current.glob("train/*.flac"))) == 1
    assert publish(tmp_path, "set", "audiofolder", [first], facts=FACTS) == (target, False)
    second = toy.gold(tmp_path, 4, "stages/prepare/2")
    newer, fresh = publish(tmp_path, "set", "audiofolder", [second])
    assert fresh and newer != target and current.resolve() == newer and target.exists()
    assert versions.read(newer)["parent"] == target.name and versions.read(target)["parent"] == ""
    assert not [path for path in current.parent.iterdir() if path.name.startswith(".")]


def test_old_versions_are_removed_but_never_the_present_one(tmp_path):
    made = []
    for number in range(5):
        made.append(publish(tmp_path, "set", "csv", [toy.gold(tmp_path, 2, f"stages/prepare/{number}")], keep=2)[0])
        stamp = time.time() - 100 + number
        os.utime(made[-1], (stamp, stamp))
    assert [path.exists() for path in made] == [False, False, False, True, True]
    publish(tmp_path, "set", "csv", ["stages/prepare/3"], keep=1)  # going back to an older content
    assert (tmp_path / "published/set" / CURRENT).resolve() == made[3] and not made[4].exists()


def test_what_was_present_until_now_is_the_last_to_go(tmp_path):
    sources = [[toy.gold(tmp_path, 2, f"stages/prepare/{number}")] for number in range(3)]
    first, second = (publish(tmp_path, "set", "csv", source, keep=2)[0] for source in sources[:2])
    publish(tmp_path, "set", "csv", sources[0], keep=2)  # back to the first
    assert versions.versions(first.parent) == [second, first], "what became the present one last counts as the newest"
    for number, path in enumerate((first, second)):
        os.utime(path, (number, number))  # as after a copy that kept no dates
    third = publish(tmp_path, "set", "csv", sources[2], keep=2)[0]
    assert first.exists() and third.exists() and not second.exists()


def test_a_removal_that_is_killed_leaves_no_half_version(tmp_path, monkeypatch):
    sources = [[toy.gold(tmp_path, 2, f"stages/prepare/{number}")] for number in range(2)]
    first = publish(tmp_path, "set", "audiofolder", sources[0])[0]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(versions.shutil, "rmtree", lambda path, **options: (path / "README.md").unlink(missing_ok=True) or _stop(path))
        publish(tmp_path, "set", "audiofolder", sources[1], keep=1)
    assert first not in versions.versions(first.parent)
    again, fresh = publish(tmp_path, "set", "audiofolder", sources[0], keep=1)
    assert (again, fresh) == (first, True) and not verification.verify(again), "made anew, not taken for what is there"
    assert [path.name for path in sorted(first.parent.iterdir())] == [first.name, CURRENT]
    versions.remove(tmp_path, "set")
    assert versions.names(tmp_path) == []


def _stop(path):
    if (path / "clips.csv").exists():
        raise KeyboardInterrupt


def test_an_output_that_was_removed_is_named_with_what_to_do(tmp_path, sources):
    shutil.rmtree(tmp_path / sources[1])
    with pytest.raises(InvalidValueError, match=r"removed since.*type the run's own command again"):
        publish(tmp_path, "set", "audiofolder", sources)
    assert versions.names(tmp_path) == ["set"] and versions.versions(tmp_path / "published/set") == []


def test_gc_waits_for_a_version_that_is_being_made(tmp_path, sources, monkeypatch):
    seen, fill = [], versions.export.fill

    def slowly(*given):
        with (tmp_path / "locks/runs").open("a") as handle:
            seen.append(try_lock(handle.fileno()))
        fill(*given)

    monkeypatch.setattr(versions.export, "fill", slowly)
    publish(tmp_path, "set", "audiofolder", sources)
    with runs.none_begins(tmp_path):
        assert seen == [False], "no gc beside it, but afterwards"


@pytest.mark.parametrize(
    ("licence", "bound"),
    [("CC BY-NC 4.0", True), ("cc_by_nc_sa", True), ("Attribution Noncommercial", True), ("non-commercial use", True),
     ("Open Government Licence", False), ("CC0", False), ("France 2.0", False)],
)  # fmt: skip
def test_commercial_use_is_excluded_by_what_a_licence_says_and_not_by_its_letters(licence, bound):
    row = {**dict.fromkeys(("label", "split", "origin", "caption", "sha256", *COLUMNS), "x"), "sample_rate_hz": 1, "channels": 1}
    said = summary.known_limits(pd.DataFrame([row]), [[{"licence": licence}]], "audiofolder")
    assert any("excludes commercial use" in sentence for sentence in said) == bound


def test_version_says_what_it_holds(tmp_path, sources):
    version = versions.read(publish(tmp_path, "set", "audiofolder", sources, facts=FACTS)[0])
    assert version["counts"] == {
        "clips": 8, "split": {"test": 2, "train": 4, "val": 2}, "label": {"dog": 5, 'he said "hi", ünd_так': 3},
        "origin": {"generate": 2, "gold": 6}, "status": {"accepted": 8, "rejected": 1},
    }  # fmt: skip
    assert version["scores"] == {"clap_cosine": {"count": 2, "mean": 0.375, "min": 0.25, "median": 0.375, "max": 0.5}}
    assert version["duration_s"] == 0.8 and version["sample_rates_hz"] == {"16000": 8} and version["sources"] == sorted(sources)
    assert version["command"] == "./run.sh synthio" and version["settings"] == {"num_samples": 5}
    assert version["facts"] == {"accuracy": {"gold": 0.5, "synthio": 0.75}, "fad": None}
    # Two gold clips of each licence; the first synthetic clip is made from a CC0 and a CC-BY one, the second from a CC0 and a CC-BY-NC one.
    assert version["licences"] == {"CC-BY": 3, "CC-BY-NC": 3, "CC0": 4}


def test_known_limits_are_counted(tmp_path, sources):
    version = versions.read(publish(tmp_path, "set", "csv", sources)[0])
    said = "\n".join(version["known_limits"])
    assert '1 of 2 classes have fewer than 5 clips: he said "hi", ünd_так (3).' in said and "2 of 8 clips have no caption." in said
    assert "2 of 8 clips are synthetic" in said and "3 of 8 clips come from recordings whose licence excludes commercial use." in said
    assert "table only" in said and "Sample rates" not in said and "not known" not in said
    assert summary.tally([2, 1, 1]) == {"1": 2, "2": 1}


def test_other_rates_missing_splits_and_unknown_licences_are_limits(tmp_path):
    rows = [toy.manifest.row(str(number), f"x/{number}.wav", "gold", label="a", sample_rate_hz=rate, sha256="same")
            for number, rate in enumerate((8000, 16000))]  # fmt: skip
    toy.manifest.write(tmp_path / "x", toy.manifest.frame(rows))
    said = "\n".join(versions.read(publish(tmp_path, "set", "csv", ["x"])[0])["known_limits"])
    parts = (
        "Sample rates differ: 16000 Hz (1 clips), 8000 Hz (1 clips).", "2 of 2 clips belong to no split", "1 clips have the same bytes",
        "no clips of the split train and of val and of test", "licence of 2 of 2 clips is not known",
    )  # fmt: skip
    for part in parts:
        assert part in said


def test_card_is_one_the_hub_reads_and_names_every_author(tmp_path, sources):
    folder = publish(tmp_path, "set", "audiofolder", sources, facts=FACTS)[0]
    read = DatasetCard.load(folder / "README.md")
    assert read.data.license == ["cc-by-3.0", "cc-by-nc-4.0", "cc0-1.0"] and read.data.size_categories == ["n<1K"]
    assert read.data.task_categories == ["audio-classification", "text-to-audio"]
    splits = {item["split"]: item["path"] for item in read.data.configs[0]["data_files"]}
    assert splits == {"train": "train/**", "validation": "validation/**", "test": "test/**"}
    assert "nfrae" in read.text and "Ünï / codé" in read.text and "./run.sh synthio" in read.text and "http://x/100032/" in read.text
    assert "accuracy.synthio" in read.text and str(tmp_path) not in read.text and "stages/" not in read.text


@pytest.mark.parametrize(
    ("name", "url", "hub"),
    [
        ("CC0", "", "cc0-1.0"), ("CC-BY", "http://creativecommons.org/licenses/by/3.0/", "cc-by-3.0"), ("CC BY", "", "cc"),
        ("", "https://creativecommons.org/licenses/by-nc-sa/4.0/", "cc-by-nc-sa-4.0"), ("CC-BY-NC", "", "other"),
        ("Sampling+", "http://creativecommons.org/licenses/sampling+/1.0/", "other"), ("", "", "unknown"),
    ],
)  # fmt: skip
def test_licences_have_the_hubs_names(name, url, hub):
    assert card.hub_licence(name, url) == hub


@pytest.mark.parametrize("form", ["audiofolder", "csv", "lhotse", "webdataset"])
def test_sha256sum_agrees_with_the_listing(tmp_path, sources, form):
    folder = publish(tmp_path, "set", form, sources)[0]
    finished = subprocess.run(["sha256sum", "--check", "--strict", "files.sha256"], cwd=folder, capture_output=True, text=True, check=False)
    lines = finished.stdout.splitlines()
    there = [path for path in folder.rglob("*") if path.is_file()]
    assert finished.returncode == 0 and len(lines) == len(there) - 1 and all(line.endswith(": OK") for line in lines)


def test_what_a_killed_publish_left_behind_is_swept_up_and_no_version(tmp_path, sources):
    folder = tmp_path / "published/set"
    (folder / ".123456789abc.99.tmp" / "train").mkdir(parents=True)
    (folder / "reports").mkdir()
    target, fresh = publish(tmp_path, "set", "csv", sources)
    assert fresh and {path.name for path in folder.iterdir()} == {target.name, CURRENT, "reports"}
    assert versions.versions(folder) == [target] and versions.names(tmp_path) == ["set"]


def test_versions_are_found_by_name_and_beginning(tmp_path):
    made = [publish(tmp_path, "set", "csv", [toy.gold(tmp_path, 2, f"stages/prepare/{number}")])[0] for number in range(2)]
    assert versions.find(tmp_path, "set") == made[1] == versions.find(tmp_path, f"set@{made[1].name}")
    assert versions.find(tmp_path, f"set@{made[0].name[:8]}") == made[0]
    for text, said in (("sett", "did you mean 'set'"), ("set@ffff", "no such version"), ("../set", "no such published dataset")):
        with pytest.raises(InvalidValueError, match=said):
            versions.find(tmp_path, text)


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a/b", "a" * 200, "current", "a\n"])
def test_name_cannot_leave_the_folder(tmp_path, name):
    with pytest.raises(InvalidValueError, match="publish_as"):
        publish(tmp_path, name, "csv", [])


def test_unknown_form_is_refused_before_anything_is_written(tmp_path, sources):
    with pytest.raises(InvalidValueError, match="lhotse"):
        publish(tmp_path, "set", "zip", sources)
    assert not (tmp_path / "published").exists()


def test_folders_of_this_machine_and_secrets_stay_here(tmp_path, sources, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret-of-the-test")
    command = (
        "./run.sh synthio dataset.root=/home/ann/data/esc10 clap=~/models/clap.pt 'arms=[a,/srv/x/y.csv]' num_samples=1/2 https://host/a/b"
    )
    facts = {"command": command, "settings": {"dataset": {"root": "/home/ann/data/esc10"}, "note": "hf_secret-of-the-test"}}
    folder, _ = publish(tmp_path, "set", "csv", sources, facts=facts)
    version = versions.read(folder)
    assert version["command"] == "./run.sh synthio dataset.root=…/esc10 clap=…/clap.pt 'arms=[a,…/y.csv]' num_samples=1/2 https://host/a/b"
    assert version["settings"]["dataset"]["root"] == "…/esc10"
    text = (folder / "version.json").read_text() + (folder / "README.md").read_text()
    assert "ann" not in text.replace("channels", "") and "hf_secret" not in text
