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
