import csv
import json

from core import tables

TITLES = {"name": "method", "score": "MIG | bits"}
ROWS = [{"name": "β-VAE_1", "score": "0.20 ± 0.01"}, {"name": "a|b\n& 100 %", "score": "-0.5"}]


def test_markdown_keeps_its_cells_whatever_they_hold():
    lines = tables.markdown(TITLES, ROWS).splitlines()
    assert lines[0] == "| method | MIG \\| bits |" and lines[1] == "|---|---|"
    assert lines[3] == "| a\\|b & 100 % | -0.5 |" and len(lines) == 4


def test_text_is_aligned_left_then_right():
    lines = tables.as_text(TITLES, ROWS[:1]).splitlines()
    assert lines == ["method    MIG | bits", "β-VAE_1  0.20 ± 0.01"]
    assert tables.as_text(TITLES, []) == "method  MIG | bits"


def test_latex_is_escaped():
    lines = tables.tabular(TITLES, ROWS, "of 100 % \n\\input{x}").splitlines()
    assert lines[0].startswith("%") and lines[1] == r"\begin{tabular}{lr}", "a comment stays one line"
    assert lines[5] == r"$\beta$-VAE\_1 & 0.20 $\pm$ 0.01 \\"
    assert lines[6].endswith(r"\& 100 \% & $-$0.5 \\")


def test_rows_are_written_as_they_are(tmp_path):
    rows = [{"name": 'a,b\n"c"', "mean": 0.1, "sd": None}, {"name": "β", "mean": -1, "sd": 2.5}]
    tables.write_rows(tmp_path / "scores", rows)
    assert json.loads((tmp_path / "scores.json").read_text(encoding="utf-8")) == rows
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as handle:
        read = list(csv.DictReader(handle))
    assert read == [{"name": 'a,b\n"c"', "mean": "0.1", "sd": ""}, {"name": "β", "mean": "-1", "sd": "2.5"}]
    tables.write_rows(tmp_path / "none", [], ("name", "mean"))
    assert (tmp_path / "none.csv").read_bytes() == b"name,mean\r\n" and json.loads((tmp_path / "none.json").read_text()) == []
