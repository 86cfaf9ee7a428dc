"""The one page with every figure, its method and its machine."""

import json
import math
import sys
import types
from dataclasses import asdict

import pytest

from benchmarks import machine, page, run
from benchmarks.run import Figure
from core.errors import InvalidValueError
from tests.browser import READABLE, chromium_page, contrasts, needs_chromium, screenshot

GOOD = Figure("speed: <ours> against theirs", 3.25, "×", "≥ 3", True, "100 sounds each, one core")
BAD = Figure("memory: 10,000 clips", 12345.6, "kB", "≤ 1,000", False, "second half against the first")


@pytest.fixture
def benchmarks(monkeypatch):
    def broken():
        raise RuntimeError("the peer is not there")

    modules = {"a.one": lambda: [GOOD], "a.two": lambda: [BAD], "a.three": broken}
    for name, measure in modules.items():
        module = types.ModuleType(name)
        module.measure = measure
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(run, "BENCHMARKS", {"first": ("a.one", "a.two"), "second": ("a.three",), "third": ("a.one",)})


def test_a_benchmark_that_breaks_down_costs_no_other_figure(benchmarks, tmp_path):
    said = []
    found = run.run_benchmarks(["first", "second"], tmp_path, said.append)
    assert [one["holds"] for one in found] == [True, False, False] and math.isnan(found[2]["figure"])
    assert found[2]["method"] == "broke down: RuntimeError: the peer is not there" and found[0] == asdict(GOOD)
    kept = json.loads((tmp_path / "bench/first.json").read_text())
    assert [one["figure"] for one in kept["figures"]] == [3.25, 12345.6] and kept["machine"]["cores"].isdigit()
    assert json.loads((tmp_path / "bench/second.json").read_text())["figures"][0]["figure"] is None
    text = (tmp_path / "bench/index.html").read_text()
    assert "1 of 3 figures reach" in text and "Not measured here: third." in text and "&lt;ours&gt;" in text and "<ours>" not in text
    assert said[0] == "first (1 of 2)" and "✓ speed" in said[1] and said[-1].endswith("index.html")
    run.run_benchmarks(["third"], tmp_path, said.append)
    text = (tmp_path / "bench/index.html").read_text()
    assert "2 of 4 figures" in text and "Not measured" not in text, "what was measured before is kept"


def test_names_are_checked(benchmarks):
    assert run.chosen(["all"]) == run.chosen([]) == ["first", "second", "third"]
    with pytest.raises(InvalidValueError, match="first"):
        run.chosen(["frist"])


def test_a_machine_is_described_without_naming_it():
    found = machine.describe()
    assert int(found["cores"]) >= 1 and float(found["memory"].split()[0]) > 0.1 and found["python"] == sys.version.split()[0]
    import socket

    assert socket.gethostname() not in json.dumps(found)


def test_numbers_read_well():
    assert [page.number({"figure": value, "unit": "×"}) for value in (3.14159, 0.012345, 12345.6, None)] == [
        "3.14 ×",
        "0.0123 ×",
        "12,346 ×",
        "–",
    ]
    assert page.minutes(45) == "45 s" and page.minutes(600) == "10 min"


@needs_chromium
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_page_can_be_read(benchmarks, tmp_path, scheme, width):
    run.run_benchmarks(["first", "second"], tmp_path, lambda text: None)
    with chromium_page(strict=True, color_scheme=scheme, viewport={"width": width, "height": 900}) as opened:
        opened.goto((tmp_path / "bench/index.html").as_uri())
        assert opened.locator("tbody tr").count() == 3 and opened.locator("strong", has_text="no").count() == 2
        assert {text: ratio for text, ratio in contrasts(opened).items() if ratio < READABLE} == {}
        assert opened.evaluate("document.scrollingElement.scrollWidth") <= width
        screenshot(opened, f"bench-{scheme}-{width}", whole=True)
