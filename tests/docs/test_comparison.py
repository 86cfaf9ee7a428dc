"""The comparison claims nothing that no test or benchmark holds, and every page's links lead somewhere."""

import ast
import re

import pytest

from tests.docs.conftest import ROOT

LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


FIGURES = {
    "syntone.md": ["30.6 ×"],
    "synthesiser.md": ["| 2.0 ("],
    "renderer.md": ["0.95 of the bare loop"],
    "rooms.md": ["| 50 ms of the processor"],
}
"""What the comparison quotes of each page."""


def rows():
    text = (ROOT / "docs/comparison.md").read_text(encoding="utf-8")
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ") and not line.startswith("| |")]


def test_every_claim_about_us_has_its_test_or_benchmark():
    from benchmarks.run import BENCHMARKS

    assert len(rows()) >= 20
    for aspect, ours, *_ in rows():
        links = list(LINK.finditer(ours))
        assert links, f"{aspect}: no test and no benchmark"
        for link in links:
            file = (ROOT / "docs" / link["target"].partition("#")[0]).resolve()
            assert file.is_file(), f"{aspect}: {link['target']}"
            if file.suffix == ".md":
                assert any(figure in file.read_text(encoding="utf-8") for figure in FIGURES[file.name]), f"{aspect}: {file.name}"
            elif file.is_relative_to(ROOT / "tests"):
                names = {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}
                assert link["text"] in names, f"{aspect}: {link['text']} is not in {link['target']}"
            else:
                name = link["text"].strip("`")
                bench = name.removeprefix("./run.sh bench ")
                measured = f"benchmarks.{file.stem}" in BENCHMARKS.get(bench, ()) if bench != name else name in file.read_text()
                assert file.is_relative_to(ROOT / "benchmarks") and measured, f"{aspect}: {name}"


def test_every_claim_about_a_seed_names_its_section():
    for aspect, _, seeds, *_ in rows():
        claims = [claim for claim in seeds.split("; ") if claim not in ("–", "themselves", "measured beside ours by the same programs")]
        assert all(re.match(r"[STDPL]: ", claim) for claim in claims), aspect


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in LINK.finditer(page.read_text(encoding="utf-8")):
        target, _, anchor = link["target"].partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{page.name}: {link['target']}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page.name}: {link['target']}"


def anchors(file):
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
