import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from core.gallery import pictures


def test_heat_map_shades_each_row_by_what_a_full_cell_is():
    drawn = pictures.heat_map(np.array([[1.0, 0.5], [np.nan, 4.0]]), ["<b>", "y"], ["z1", "z2"], [2.0, 4.0], ("codes", "factors"))
    assert "1.00" in drawn and "–" in drawn and "&lt;b&gt;" in drawn and "<b>" not in drawn and pictures.TEXT not in drawn
    shares = sorted(float(part.split(";")[0].split('"')[0]) for part in drawn.split("opacity: ")[1:])
    assert [share for share in shares if share not in (0, 1)] == pytest.approx([0.25, 0.5]), "1 of 2 and 0.5 of 2; a full and an empty cell"
    assert ">4.00<" in drawn.replace("</text>", "<")


def test_drawing_in_a_file_of_its_own_knows_both_schemes():
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], color=pictures.ACCENT)
    text = pictures.standalone(figure)
    assert text.startswith("<svg") and "prefers-color-scheme:dark" in text and "var(--accent" in text
    assert text.index("<style>") < text.index("<path")


def test_bars_stand_side_by_side_with_their_intervals_and_lines_across():
    drawn = pictures.bars(["<tfm>", "mlp"], {"drawn": [0.6, 0.4], "made": [0.3, 0.2]}, {"drawn": [(0.5, 0.7), None], "made": [None, None]},
                          {"chance": 0.1}, "MRR")  # fmt: skip
    assert "&lt;tfm&gt;" in drawn and "<tfm>" not in drawn and pictures.TEXT not in drawn
    assert all(f">{word}<" in drawn for word in ("drawn", "made", "chance", "MRR", "mlp"))
    heights = {}
    for points, colour in re.findall(r'<path d="([^"]+)"[^>]*style="fill: (#1f77b4|#ff7f0e)', drawn):
        edges = [float(value) for value in re.findall(r"[ML] \S+ (\S+)", points)]
        heights.setdefault(colour, []).append(max(edges) - min(edges))
    (tall, low), (made, least) = (found[:2] for found in heights.values())  # beside the bars stand the legend's samples
    assert (
        tall / low == pytest.approx(1.5, rel=1e-4)
        and tall / made == pytest.approx(2.0, rel=1e-4)
        and made / least == pytest.approx(1.5, rel=1e-4)
    )
