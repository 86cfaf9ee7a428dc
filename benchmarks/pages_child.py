# mypy: ignore-errors
"""The measured browser of ``pages``: ``python -m benchmarks.pages_child SMALL LARGE TURNS``, in ``envs/test``.

Makes two pages, of SMALL and of LARGE clips, opens them in turns in fresh chromiums, and prints for each page a list of
{first, filtered, searched, sorted, nodes}: seconds from asking for the page to its first clip, of a filter by class, of a search in the
captions and of sorting by score (each to the next frame), and how many elements the page has.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from pathlib import Path

# The work and what it changes on the screen: two frames, as the first callback runs before the frame is painted.
DONE = """async work => {
  const from = performance.now();
  work();
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  return (performance.now() - from) / 1000;
}"""
WORKS = {
    "filtered": "() => { document.getElementById('by-label').value = '=class_03'; show(); }",
    "searched": "() => { document.getElementById('clear').click(); document.getElementById('search').value = 'echo twice'; show(); }",
    "sorted": "() => { document.getElementById('clear').click(); document.getElementById('order').value = 'down'; show(); }",
}


def main(small, large, turns):
    """Make both pages and open them in turns."""
    # By name, since the strict type check that benchmarks pass would otherwise follow these imports.
    study = importlib.import_module("tests.tasks.report.stand_ins").study
    chromium_page = importlib.import_module("tests.browser").chromium_page

    with tempfile.TemporaryDirectory() as folder:
        pages = {count: study(Path(folder) / str(count), count)[0] / "index.html" for count in (int(small), int(large))}
        found = {count: [] for count in pages}
        for turn in range(int(turns) + 1):
            for count, path in pages.items():
                with chromium_page(strict=True) as page:
                    told = opened(page, path.as_uri())
                if turn:  # the first opening of either warms the files and the browser
                    found[count].append(told)
    print(json.dumps(list(found.values())))


def opened(page, address):
    """Open one page and do the works on it."""
    started = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_selector("#clips .clip")
    told = {"first": time.perf_counter() - started}
    for name, work in WORKS.items():
        told[name] = page.evaluate(f"({DONE})({work})")
    return {**told, "nodes": page.evaluate("document.querySelectorAll('*').length")}


if __name__ == "__main__":
    main(*sys.argv[1:])
