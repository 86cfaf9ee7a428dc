"""The index of all runs, and the runs' own pages: what they say, and what goes wrong without taking the rest along."""

import json
import os
import re
import threading
from html.parser import HTMLParser

import pytest

from core import locks, runs
from core.run_pages import facts
from core.run_pages.write import INDEX, write

HOSTILE = '<script>alert("x")</script> & "quotes"'
HEADLINE = "Synthio is best on validation: 48.7 % against 40.0 %, 95 % interval +4.3 … +13.0; it helps."


class Table(HTMLParser):
    """The rows of a page's table as their cells' texts, the addresses it links to, and all its text."""

    def __init__(self, path):
        super().__init__()
        self.rows, self.links, self.text, self._open = [], [], [], False
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.links.append(dict(attrs)["href"])
        if tag == "tr":
            self.rows.append([])
        self._open |= tag in ("td", "th")
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self._open &= tag not in ("td", "th")

    def handle_data(self, data):
        self.text.append(data)
        if self._open and data.strip():
            self.rows[-1][-1] += data.strip() + " "


def record(root, run_id, **values):
    given = {
        "flow": "synthio", "title": f"title of {run_id}", "command": "./run.sh synthio", "started_at": 1.7e9, "steps": [],
        "report": f"stages/report/{run_id}", "state": "completed", "finished_at": 1.7e9 + 120.0,
        "extra": {"dataset": "esc10", "devices": ["CPU 0"]}, **values,
    }  # fmt: skip
    run = runs.Run(run_id, **given)
    runs.save(root, run)
    return run


def report(root, run_id, headline=HEADLINE):
    folder = root / f"stages/report/{run_id}"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("page")
    (folder / "result.json").write_text(json.dumps({"headline": headline}))


def test_index_lists_every_run_newest_first_with_its_finding(tmp_path):
    record(tmp_path, "20261119-1-synthio-esc10")
    report(tmp_path, "20261119-1-synthio-esc10")
    record(tmp_path, "20261120-1-delsa-demo", flow="delsa", extra={}, state="failed", error=f"boom {HOSTILE}\nsecond line")
    assert write(tmp_path) == tmp_path / INDEX
    page = Table(tmp_path / INDEX)
    assert page.rows[0] == ["run ", "finding ", "state ", "when, UTC ", "took ", "flow ", "dataset ", "devices "]
    first, second = page.rows[1:]
    assert first[1:] == [f"boom {HOSTILE} ", "failed ", "2023-11-14 22:13 ", "2 min ", "delsa ", "demo ", "– "], "dataset from the id"
    assert second[1:] == [f"{HEADLINE} ", "completed ", "2023-11-14 22:13 ", "2 min ", "synthio ", "esc10 ", "CPU 0 "]
    local = [link for link in page.links if not link.startswith("#")]
    assert all((tmp_path / "runs" / link).resolve().is_file() for link in local), "every link leads somewhere, also from a file"
    assert "../stages/report/20261119-1-synthio-esc10/index.html" in local and "<script>alert" not in (tmp_path / INDEX).read_text()


def test_a_run_that_names_a_page_of_its_own_has_that_ones_finding(tmp_path):
    for number, extra in enumerate(({"page": "published/toy/reports/1"}, {"page": ""})):
        record(tmp_path, f"r{number}", flow="regenerate", report="published/toy/reports", extra=extra)
    for place, text in (("", "the newest"), ("/1", "published abc: 3 rows changed")):
        folder = tmp_path / f"published/toy/reports{place}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.html").write_text("page")
        (folder / "result.json").write_text(json.dumps({"headline": text}))
    write(tmp_path)
    page = Table(tmp_path / INDEX)
    assert [row[1] for row in page.rows[1:]] == ["nothing had changed ", "published abc: 3 rows changed "]
    assert "../published/toy/reports/1/index.html" in page.links and "../published/toy/reports/index.html" not in page.links


def test_of_two_that_write_the_index_the_later_one_has_read_what_the_earlier_one_saw(tmp_path):
    record(tmp_path, "r1", state="running")
    with locks.held(tmp_path / "locks/pages"):
        other = threading.Thread(target=write, args=(tmp_path,))
        other.start()
        other.join(0.2)
        assert other.is_alive() and not (tmp_path / INDEX).exists()
        record(tmp_path, "r1", state="completed")
    other.join(10)
    assert Table(tmp_path / INDEX).rows[1][2] == "completed "


def test_secrets_typed_into_a_command_or_a_setting_are_on_no_page(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "word-of-the-test")
    run = record(tmp_path, "r1", command="./run.sh synthio describe.command='ask --key word-of-the-test'")
    (runs.folder(tmp_path, run.run_id) / runs.CONFIG).write_text("describe: {command: ask --key word-of-the-test}")
    write(tmp_path)
    for page in (tmp_path / INDEX, tmp_path / "runs/r1/index.html"):
        assert "ask --key [secret removed]" in page.read_text() and "word-of-the-test" not in page.read_text()


def test_page_of_a_run_has_its_steps_costs_log_command_and_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verysecret")
    step = {"label": "prepare", "stage": "prepare", "output": "stages/prepare/aa"}
    record(tmp_path, "r1", steps=[step, {**step, "label": "stratify", "output": "stages/stratify/bb"}], state="failed", error="no disk")
    done = {"stage": "prepare", "key": "aa", "result": {}, "identity": {}, "files": {}, "finished_at": 0.0,
            "usage": {"wall_s": 12.34, "cpu_s": 7.0, "peak_memory_mb": 99.6}}  # fmt: skip
    (tmp_path / "stages/prepare/aa").mkdir(parents=True)
    (tmp_path / "stages/prepare/aa/done.json").write_text(json.dumps(done))
    for attempt, text in (("001", "first try"), ("002", "".join(f"line {n}\n" for n in range(100)) + f"{HOSTILE} sk-verysecret")):
        (tmp_path / f"attempts/stratify/bb/{attempt}").mkdir(parents=True)
        (tmp_path / f"attempts/stratify/bb/{attempt}/output.log").write_text(text)
    (tmp_path / "runs/r1/config.yaml").write_text("num_samples: 4\n")
    write(tmp_path)
    page = Table(tmp_path / "runs/r1/index.html")
    assert page.rows[1:] == [
        ["prepare ", "done ", "12.3 ", "7.0 ", "100 ", "stages/prepare/aa "],
        ["stratify ", "not done ", "– ", "– ", "– ", "stages/stratify/bb "],
    ]
    text = "".join(page.text)
    assert HOSTILE in text and "line 99" in text and "line 61" in text and "line 60" not in text and "first try" not in text
    assert "sk-verysecret" not in (tmp_path / "runs/r1/index.html").read_text() and "[secret removed]" in text
    assert "no disk" in text and "num_samples: 4" in text and "./run.sh synthio" in text and "../index.html" in page.links


def test_a_damaged_record_hides_no_other_run(tmp_path):
    record(tmp_path, "20261119-1-synthio-a")
    record(tmp_path, "20261119-2-synthio-b")
    (tmp_path / "runs/20261119-1-synthio-a/run.json").write_text('{"run_id": "20261')
    write(tmp_path)
    page = Table(tmp_path / INDEX)
    assert len(page.rows) == 2 and page.rows[1][0].startswith("title of 20261119-2")
    assert "damaged: 20261119-1-synthio-a" in " ".join(page.text)


def test_a_run_whose_process_is_gone_was_killed(tmp_path):
    gone = os.fork()
    if not gone:
        os._exit(0)
    os.waitpid(gone, 0)
    assert runs.state_now(record(tmp_path, "a", state="running", finished_at=None, extra={"pid": gone})) == "killed"
    assert runs.state_now(record(tmp_path, "b", state="running", finished_at=None, extra={"pid": os.getpid()})) == "running"
    write(tmp_path)
    assert [row[2] for row in Table(tmp_path / INDEX).rows[1:]] == ["running ", "killed "]


def test_pages_of_ended_runs_are_written_once_and_again_after_a_change(tmp_path):
    record(tmp_path, "a")
    write(tmp_path)
    page = tmp_path / "runs/a/index.html"
    first = page.stat().st_ino
    write(tmp_path)
    assert page.stat().st_ino == first
    write(tmp_path, anew=True)
    assert page.stat().st_ino != first
    first = page.stat().st_ino
    os.utime(page, ns=(0, 0))
    record(tmp_path, "a", title="another title")
    write(tmp_path)
    assert page.stat().st_ino != first and "another title" in page.read_text()


def test_before_the_first_run_the_index_says_how_to_begin(tmp_path):
    text = write(tmp_path).read_text()
    assert "./run.sh" in text and not re.search(r"<table", text)


@pytest.mark.parametrize(("seconds", "text"), [(None, "–"), (14.2, "14 s"), (89, "89 s"), (120, "2 min"), (9000, "2.5 h")])
def test_durations_are_said_as_a_person_does(seconds, text):
    assert facts.took(seconds) == text
