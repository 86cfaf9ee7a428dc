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
