import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from core.errors import InvalidValueError
from tasks.report_disentanglement import listen, scores
from tasks.report_disentanglement.spec import Request, Run, Settings
from tests.tasks.report_disentanglement.stand_ins import HOSTILE, LATENT, MIG, STEPS, described, reported, training, whole


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    made = tmp_path_factory.mktemp("disentanglement")
    described(made)
    return made


@pytest.fixture(scope="module")
def study(root):
    """Three methods, three seeds, the first of each with pictures."""
    runs = whole(root)
    return runs, *reported(root, "aa", runs, classifier="stages/classify_waveform/aa", command="./run.sh syntone a=<b>")


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag, name=""):
        return [values for found, values in self.tags if found == tag and name in (values.get("class") or "").split(" ")] if name else [
            values for found, values in self.tags if found == tag
        ]  # fmt: skip


def test_page_is_self_contained_and_escapes_what_it_is_given(study):
    _, output, _ = study
    text = (output / "index.html").read_text()
    page = Page(text)
    assert len(page.all("script")) == 1 and "<script>alert" not in text and HOSTILE in "".join(page.text)
    files = [values[name] for tag, values in page.tags for name in ("src", "data-wav") if values.get(name)]
    files += [values["style"].split("url(")[1].split(")")[0] for values in page.all("span", "picture")]
    assert len(files) > 100 and all((output / name).is_file() for name in files), "every asset exists, none is on another server"
    links = [values["href"] for values in page.all("a")]
    ids = {values.get("id") for _, values in page.tags}
    assert links.count("../../../runs/index.html") == 1, "the way back to all runs"
    inside = [link for link in links if link != "../../../runs/index.html"]
    assert inside and all(link[0] == "#" and link[1:] in ids for link in inside)
    assert all(values.get("alt") for values in page.all("img")) and all(values.get("aria-label") for values in page.all("button", "tile"))
    assert "./run.sh syntone a=&lt;b&gt;" in text and "a: &lt;b&gt;" in text and "flag &lt;script&gt;" in text
    used = {Path(name).relative_to("assets").parts[0] for name in files}
    assert used == {"vae-1", "beta_vae-1", "factor_vae-1"}, "one training of each method"


def test_every_method_plays_the_same_clips_side_by_side(study):
    _, output, _ = study
    page = Page((output / "index.html").read_text())
    groups = page.all("div", "row")
    assert [values["aria-label"] for values in groups[:2]] == [f"{HOSTILE} 5", f"{HOSTILE} 11"]
    labels = [values["aria-label"] for values in page.all("button", "tile")]
    for name in ("the original", "the resynthesis", "VAE", "β-VAE", "FactorVAE"):
        assert f"play {name}, {HOSTILE} 5" in labels
    walked = [label for label in labels if label.startswith("play β-VAE, z")]
    assert len(walked) == LATENT * STEPS and walked[0] == "play β-VAE, z2 = −3.0" and walked[9].endswith("+3.0"), "most nats first"
    assert walked[STEPS].startswith("play β-VAE, z4")
    shown = " ".join(" ".join(page.text).split())
    assert "z2 2.50 nats · <script>" in shown and "1.80 of 2.00 bits" in shown and "2 codes that carry next to nothing" in shown
    assert (
        "87.5 %" in shown and "chance 50.0 %" in shown and "0.0625 effective β" in shown and "Scored on 400 clips (test: held out)" in shown
    )


def test_scores_are_means_and_intervals_over_training_seeds(study):
    """Against scipy on the stand-ins' own numbers."""
    _, output, result = study
    rows = json.loads((output / "scores.json").read_text())
    found = {(row["convention"], row["metric"], row["method"]): row for row in rows}
    for method, values in MIG.items():
        row = found["corrected", "mig", method]
        interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (row["mean"], row["low"], row["high"]) == pytest.approx((np.mean(values), interval.low, interval.high))
        assert row["sd_seeds"] == pytest.approx(np.std(values, ddof=1)) and row["seeds"] == 3
        assert row["sd_evaluation"] == pytest.approx(0.004) and row["evaluation_repeats"] == 3, "kept apart from the seeds"
        assert found["legacy", "mig", method]["mean"] == pytest.approx(0.5 - np.mean(values))
        assert found["corrected", "udr", method]["mean"] == pytest.approx(0.4 + np.mean(values))
    assert found["corrected", "mig", "random codes"]["mean"] == pytest.approx(0.01)
    assert found["legacy", "sap", "oracle codes"]["mean"] == pytest.approx(0.375)
    assert not {key for key in found if key[1] in ("irs", "z_diff") and key[2] in MIG}, "what was not scored has no row"
    assert result.ranking == ("beta_vae", "vae", "factor_vae") and result.legacy_ranking == ("factor_vae", "vae", "beta_vae")
    assert [found["corrected", "mig", name]["rank"] for name in result.ranking] == [1, 2, 3]
    with (output / "scores.csv").open() as handle:
        read = list(csv.DictReader(handle))
    assert len(read) == len(rows) and float(read[0]["mean"]) == pytest.approx(rows[0]["mean"])


def test_headline_says_how_sure_it_is_and_what_legacy_would_say(study):
    _, _, result = study
    p = stats.ttest_ind(MIG["beta_vae"], MIG["vae"], equal_var=False).pvalue
    assert result.headline.startswith("β-VAE is first by corrected MIG: 0.350, 95 % interval")
    assert "random codes 0.010, oracle codes 0.990 (35 % of the way from these to those)" in result.headline, "0.34 of 0.98"
    assert f"p {p:.3f}" in result.headline
    assert "overlaps that of VAE: this study does not tell them apart" in result.headline
    assert "legacy) convention puts FactorVAE first and orders 0 of 3 pairs" in result.headline
    assert "Collapsed" not in result.headline and result.collapsed == ()
    assert "β-VAE" in result.table and "random codes" in result.table


def test_tables_for_other_programs(study):
    _, output, _ = study
    text = (output / "scores.md").read_text()
    mean, half = np.mean(MIG["vae"]), stats.t.ppf(0.975, 2) * np.std(MIG["vae"], ddof=1) / np.sqrt(3)
    assert f"| MIG | {mean:.3f} ± {half:.3f} |" in text and "| β-VAE, overlaps VAE | 0.010 | 0.990 |" in text
    assert "| rank | method |" in text and "| legacy rank |" in text
    latex = (output / "scores.tex").read_text()
    assert rf"{mean:.3f} $\pm$ {half:.3f}" in latex and r"$\beta$-VAE" in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 4
    for line in latex.splitlines():
        assert line.startswith("%") or (line.isascii() and "_" not in line.replace(r"\_", "")), line


def test_one_seed_has_no_interval_and_says_so(root):
    runs = [training(root, name, 7, mig, False) for name, mig in (("vae", 0.2), ("dip_vae_ii", 0.3))]
    output, result = reported(root, "one", runs)
    assert "the order may be chance" in result.headline and result.ranking == ("dip_vae_ii", "vae")
    rows = json.loads((output / "scores.json").read_text())
    assert all(row["low"] is None and row["sd_seeds"] is None for row in rows)
    page = Page((output / "index.html").read_text())
    assert not page.all("button", "tile") and "Mutual information, vae" in " ".join(page.text)


def test_clear_winners_and_collapsed_trainings_are_said(root):
    runs = [training(root, "annealed_vae", seed, 0.6 + seed / 1000, False) for seed in (8, 9)]
    runs += [training(root, "beta_tcvae", seed, 0.1 + seed / 1000, False, collapsed=seed == 9, faults=["f"]) for seed in (8, 9)]
    output, result = reported(root, "clear", runs, settings=Settings(ranked_by="sap"))
    assert "first by corrected SAP" in result.headline and "Its interval overlaps no other method's" in result.headline
    assert result.collapsed == ("beta_tcvae 9",) and "Collapsed trainings, whose codes carry nothing: β-TCVAE 9." in result.headline
    text = (output / "scores.md").read_text()
    assert "annealed β-VAE, clear" in text and "collapsed, legacy: 1 published faults" in text


def test_trainings_that_do_not_belong_together_are_refused(root):
    good = training(root, "vae", 20, 0.2, False)
    with pytest.raises(InvalidValueError, match="another method"):
        scores.collect([Run("beta_vae", 20, good.model, good.scores)], lambda path: root / path)
    with pytest.raises(InvalidValueError, match="another seed"):
        scores.collect([Run("vae", 21, good.model, good.scores)], lambda path: root / path)
    other = training(root, "vae", 22, 0.2, False, features_digest="beef")
    with pytest.raises(InvalidValueError, match="other features"):
        scores.collect([good, other], lambda path: root / path)
    with pytest.raises(InvalidValueError, match="named twice"):
        Request("t", "f", (good, good), "c")
    with pytest.raises(InvalidValueError, match="not there"):
        scores.collect([Run("vae", 20, good.model, "stages/nowhere")], lambda path: root / path)
    with pytest.raises(InvalidValueError, match="no name of a method"):
        Run("../vae", 1, "m", "s")
    with pytest.raises(InvalidValueError, match="both conventions"):
        Settings(ranked_by="irs")


def test_assets_are_taken_from_their_own_folder_only(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "secret.wav").write_text("x")
    shelf = listen.Shelf(tmp_path / "source", tmp_path / "page/assets/a", tmp_path / "page")
    for name in ("../secret.wav", "/etc/passwd", ".."):
        with pytest.raises((InvalidValueError, OSError)):
            shelf(name)
    assert not [path for path in (tmp_path / "page").rglob("*") if path.is_file()]


def test_overlap_is_against_the_first_interval():
    def method(name, values):
        made = scores.Method(name)
        for seed, value in enumerate(values):
            made.runs.append(
                scores.Trained(Run(name, seed, "m", "s"), {"corrected": {"mig": {"mean": value, "sd": 0.0, "repeats": 1}}}, {}, {})
            )
        return made

    methods = [method("a", (0.5, 0.52)), method("b", (0.1, 0.9)), method("c", (0.1, 0.11))]
    assert [found.name for found in scores.ranking(methods, "corrected", "mig")] == ["a", "b", "c"]
    assert [found.name for found in scores.overlapping(methods, "corrected", "mig")] == ["b"]
    assert scores.overlapping([*methods, method("d", (0.3,))], "corrected", "mig") is None
