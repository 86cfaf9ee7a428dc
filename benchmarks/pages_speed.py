"""How much longer a study's page of 10,000 clips takes than one of 100: to its first clip, to a filtered, searched and sorted list.

Both pages are made of the same made-up clips by the stage that makes real ones, lie in files, and are opened in turns, each time in a fresh
chromium. Only the cards in view are in the document, so elements must not grow with the clips; the ratio of the times is the median over
the turns of the large page's over the small page's. A list that answers takes at least two frames of the screen, a thirtieth of a second.
"""

from __future__ import annotations

from statistics import median

from benchmarks.child import told
from benchmarks.run import Figure
from core import environments

SMALL, LARGE, TURNS = 100, 10_000, 5
NAMES = {"first": "first clip", "filtered": "list by class", "searched": "search in captions", "sorted": "sort by score"}
TARGETS = {"first": 3.0, "filtered": 3.0, "searched": 4.0, "sorted": 4.0}
"""Most times the small page's time, for a hundred times as many clips."""
MOST_ELEMENTS = 1.2


def measure() -> list[Figure]:
    """Return the figures, all measured in this one run."""
    environments.build("test", print)
    small, large = told("test", "-m", "benchmarks.pages_child", str(SMALL), str(LARGE), str(TURNS))
    made = []
    for part, name in NAMES.items():
        ratios = [many[part] / few[part] for few, many in zip(small, large, strict=True)]
        times = [1000 * median(turn[part] for turn in turns) for turns in (small, large)]
        method = f"medians {times[0]:.0f} and {times[1]:.0f} ms; ratios {min(ratios):.2f} … {max(ratios):.2f} over {TURNS} turns, chromium"
        made.append(Figure(
            f"pages: {name}, {LARGE:,} clips against {SMALL}", round(median(ratios), 2), "×", f"≤ {TARGETS[part]:g}",
            median(ratios) <= TARGETS[part], method,
        ))  # fmt: skip
    elements = max(turn["nodes"] for turn in large) / max(turn["nodes"] for turn in small)
    counts = f"{max(turn['nodes'] for turn in small)} and {max(turn['nodes'] for turn in large)} elements after sorting"
    name = f"pages: elements, {LARGE:,} clips against {SMALL}"
    made.append(Figure(name, round(elements, 3), "×", f"≤ {MOST_ELEMENTS:g}", elements <= MOST_ELEMENTS, counts))
    return made
