"""What was tuned, as the page tells it."""

import json

from core.context import Context
from tasks.report import searches
from tasks.report.spec import ArmRun, Request, Searched


def search(root, name, chosen):
    """Write what search_mixture leaves of three trials; the last was ended early."""
    folder = root / "stages/search_mixture" / name
    folder.mkdir(parents=True)
    rows = [
        {"trial": str(i), "chosen": "chosen" if i == chosen else "", "state": "told elsewhere", "others per gold": f"{i}.00",
         "filter": "top_share 0.5" if i else "as filtered", "weights": "by clips", "clips": "gold 4, <b> 2", "val": "50.0", "step": "4",
         "ended": "" if i < 2 else "below the median of earlier trials after 4 steps"}
        for i in range(3)
    ]  # fmt: skip
    (folder / "table.json").write_text(json.dumps(rows))
    (folder / "best.json").write_text(json.dumps({"trial": chosen, "val_score": 0.5, "untuned_val_score": 0.4}))
    (folder / "curves.json").write_text(json.dumps({"0": [[4, 0.3], [8, 0.4]], "1": [[4, 0.3], [8, 0.5]], "2": [[4, 0.1]], "3": []}))
    return f"stages/search_mixture/{name}"


def told(root, *found):
    request = Request("t", "p", (), (), (ArmRun("a", 1, "x"),), "", searches=tuple(found))
    return searches.searches(request, Context(root, root))


def test_each_search_says_what_was_chosen_and_shows_every_trial_and_curve(tmp_path):
    (one,) = told(tmp_path, Searched("mixed", search(tmp_path, "one", 1), 20, 0))
    assert one["title"] == "mixed" and one["chosen"] == (
        "trial 1: 1.00 others per gold, filter top_share 0.5, weights by clips; 50.0 % on validation against 40.0 % without the search"
    )
    assert [row["trial"] for row in one["rows"]] == ["0", "1", "2"] and set(one["titles"]) <= set(one["rows"][0])
    assert all(words in one["curves"] for words in ("trial 0, without a search", "trial 1, chosen", "other trials"))
    assert searches._lines({"0": [[4, 0.3]], "1": [], "2": [[4, 0.1]], "3": [[4, 0.2]]}, 0) == {
        "trial 0, chosen": [(4, 0.3)], "other trials": [(4, 0.1)], "other trials#2": [(4, 0.2)]
    }  # fmt: skip


def test_searches_of_several_draws_say_which(tmp_path):
    paths = [search(tmp_path, name, 0) for name in ("one", "two")]
    found = told(tmp_path, *(Searched("mixed", path, 20, draw) for draw, path in enumerate(paths)))
    assert [one["title"] for one in found] == ["mixed, n = 20, draw 0", "mixed, n = 20, draw 1"]
    assert told(tmp_path) == []
