"""Takes the variables of Synthio's ``run.sh`` and says the same in our own keys (docs/from_synthio.md)."""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.config import parse_override
from core.errors import InvalidValueError
from flows.source_settings import BASE, GOLD

NAME = "seed"
"""What the generator, the captions and the model made of the variables are called."""
SWITCHES = {
    "augment": True, "only_synthetic": True, "use_label": True, "plain_caption": False, "plain_wo_caption": False, "multi_label": False,
    "initialize_audio": False, "dpo": True, "use_dpo": True, "clap_filter": True, "filter_w_finetune": False, "full_finetune_clap": False,
    "clap_full_ft": False, "iterative": False, "supcon": False, "use_ast": True, "force_steps": False,
}  # fmt: skip
"""The switches with the defaults that run.sh has; only ``force_steps`` is True there, which would throw away finished work in every run."""
NUMBERS = {"num_iters": 2.0, "init_noise_level": 80.0, "clap_threshold": 0.85}
TEXTS = (
    "dataset_name", "input_train_file", "valid_csv", "test_csv", "domain", "output_folder", "output_folder_supcon", "output_csv_path",
    "dpo_ckpt_folder", "clap_exp_name",
)  # fmt: skip
VARIABLES = (*SWITCHES, *NUMBERS, *TEXTS)
"""Variables that are not keys of ours. ``num_samples`` is both, with one meaning."""
NUM_SAMPLES = 200
SEPARATOR = ","
ROUNDS = 3
"""Of self-reflection: the published loop counts from 0 to 2."""
REDONE = ("generate", "align_text_to_audio")
"""What ``force_steps`` does again: losers, DPO and the final generation; not the draw, not the captions."""
SUPCON_CLIPS = 4
SUPCON_MASKS = {"masked_frames": 96, "masked_mels": 24}
_UPWARDS = tuple(f"@{number}" for number in range(32))
"""Stand for the folders above the caller's, whose names are not known here."""


def translate(words: Sequence[str]) -> list[str]:
    """Return ``key=value`` words in which variables of run.sh are replaced by keys of ours; ours come last, so that they win.

    Args:
        words: what a person typed; without a variable of run.sh they come back as they are.

    Raises:
        InvalidValueError: a value that run.sh would not take, or a switch that nothing here serves; with the nearest thing there is.
    """
    given: dict[str, str] = {}
    ours: list[str] = []
    for word in words:
        key, separator, value = word.partition("=")
        # clap_filter is a group of ours, too: clap_filter={score: rank} is not the switch.
        if separator and key in VARIABLES and not value.lstrip().startswith("{"):
            given[key] = value
        else:
            ours.append(word)
    if not given:
        return ours
    own = dict(parse_override(word) for word in ours)
    switches = {name: _switch(name, given[name]) if name in given else default for name, default in SWITCHES.items()}
    numbers = {name: _number(name, given[name]) if name in given else default for name, default in NUMBERS.items()}
    texts = {name: given.get(name, "") for name in TEXTS}
    if "use_dpo" not in given:  # the README names dpo alone: without it nothing was tuned that could be used
        switches["use_dpo"] = switches["dpo"]
    _refuse_unserved(switches, given)
    made: dict[str, Any] = {"num_samples": NUM_SAMPLES} if "num_samples" not in own else {}
    made |= _dataset(texts, own) | _labels(switches["multi_label"])
    if switches["augment"]:
        made |= _captions(switches) | _model(switches) | _generators(switches, numbers, own) | _filter(switches, numbers, given)
        if switches["filter_w_finetune"] and "clap_checkpoint" in own:
            made["train_clap.start_from"] = own["clap_checkpoint"]
            ours = [word for word in ours if not word.startswith("clap_checkpoint=")]
    made |= {"arms": _arms(switches)} | _outputs(texts, switches)
    # Which dataset's file is meant is read as it stands, everything else as YAML.
    return [f"{key}={value if key == 'dataset' else json.dumps(value, ensure_ascii=False)}" for key, value in made.items()] + ours


def _switch(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise InvalidValueError("not a switch", where=name, allowed="True or False", received=value)
    return value.lower() == "true"


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0 or (name == "num_iters" and not number.is_integer()):
        allowed = "a whole number" if name == "num_iters" else "a number, 0 or more"
        raise InvalidValueError("not a number", where=name, allowed=allowed, received=value)
    return number


def _refuse_unserved(switches: dict[str, bool], given: dict[str, str]) -> None:
    """Refuse what run.sh itself could not do, or what would mean nothing here."""
    captions = switches["augment"] and not switches["use_label"]
    unserved = {
        "use_ast": (
            not switches["use_ast"], "True", "run_linear_probe.sh, the probe on CLAP that False asks for, was never published; the nearest "
            "is AST from pretrained weights: train_ast.preset=paper train_ast.pretrained=FOLDER",
        ),
        "clap_full_ft": (
            switches["clap_full_ft"], "False", "no published script reads it, and CLAP is no classifier's encoder here; to fine-tune the "
            "CLAP that filters, use filter_w_finetune=True clap_checkpoint=FILE",
        ),
        "plain_wo_caption": (
            captions and switches["plain_wo_caption"] and not switches["plain_caption"], "True together with plain_caption=True",
            "alone, the published script goes on with MixCap and fails on every row for want of a caption; set plain_caption=True, too",
        ),
        "iterative": (
            switches["augment"] and switches["iterative"] and not switches["clap_filter"], "False without the filter",
            "self-reflection revises what the filter rejected; set clap_filter=True",
        ),
    }  # fmt: skip
    for name, (wanted, allowed, hint) in unserved.items():
        if wanted:
            raise InvalidValueError("cannot be served", where=name, allowed=allowed, received=given.get(name, "True"), hint=hint)


def _dataset(texts: dict[str, str], own: dict[str, str]) -> dict[str, Any]:
    """Return the dataset's keys. Without tables ``dataset_name`` is one of configs/datasets; with them it is just a name."""
    tables = {key: texts[name] for name, key in (("valid_csv", "val_csv"), ("test_csv", "test_csv")) if texts[name]}
    train, domain = texts["input_train_file"], {"dataset.domain": texts["domain"]} if texts["domain"] else {}
    if not train and not tables:
        if not texts["dataset_name"]:
            return domain
        return domain | {"dataset.name" if "dataset" in own else "dataset": texts["dataset_name"]}
    folder = posixpath.dirname(train) or "."
    root = own.get("dataset.root", folder if train else "")
    if not root:
        hint = "name the train table, too: input_train_file=FILE"
        raise InvalidValueError("tables without a train table", where="input_train_file", allowed="a CSV file", received="", hint=hint)
    name = texts["dataset_name"] or Path(train).stem
    made = ({"dataset.name": name} if name else {}) | {"dataset.root": root, "dataset.prepare.split_column": ""} | domain
    if train:
        tables = {"csv": train, **tables}
    return made | {f"dataset.{key}": _relative(path, root, key) for key, path in tables.items()}


def _relative(path: str, root: str, key: str) -> str:
    """Return a table's path as seen from the root; both mean the folder run.sh is called from, unless they are absolute.

    Raises:
        InvalidValueError: one is absolute, the other not, so that only the machine could tell.
    """
    path, root = str(Path(path).expanduser()), str(Path(root).expanduser())
    if posixpath.isabs(path) and not posixpath.isabs(root):
        return path
    if posixpath.isabs(path) != posixpath.isabs(root):
        hint = "write the tables as absolute paths, too"
        raise InvalidValueError("relative table below an absolute root", where=f"dataset.{key}", allowed=root, received=path, hint=hint)
    above = posixpath.join("/", *_UPWARDS)
    seen = posixpath.relpath(posixpath.join(above, path), posixpath.join(above, root))
    if set(seen.split("/")) & set(_UPWARDS):
        raise InvalidValueError("not below a common folder", where=f"dataset.{key}", allowed="absolute paths", received=[path, root])
    return seen


def _labels(multi_label: bool) -> dict[str, Any]:
    """Return where several labels a clip are told of; run.sh's own path for them is unfinished."""
    keys = ("dataset.prepare", "stratify", "train_ast")
    return {f"{key}.label_separator": SEPARATOR for key in keys} if multi_label else {}


def _captions(switches: dict[str, bool]) -> dict[str, Any]:
    """Return how the gold clips are captioned; ``use_label`` skips captioner and language model, whatever else is set."""
    mode = "mixcap"
    if switches["use_label"]:
        mode = "template"
    elif switches["multi_label"]:
        mode = "multi_label"
    elif switches["plain_caption"]:
        mode = "plain_wo_caption" if switches["plain_wo_caption"] else "plain"
    made = {f"captions.{NAME}.mode": mode}
    if mode == "multi_label":
        made[f"captions.{NAME}.label_separator"] = SEPARATOR
    return made | ({f"captions.{NAME}_supcon.mode": "supcon"} if switches["supcon"] else {})


def _model(switches: dict[str, bool]) -> dict[str, Any]:
    """Return the tuned model, where one is used: 2 losers a gold clip by the untuned model, from pure noise, with the template."""
    if not (switches["use_dpo"] or switches["supcon"]):
        return {}
    return {
        "captions.template.mode": "template", f"models.{NAME}.start": BASE, f"models.{NAME}.captions": "template",
        f"models.{NAME}.align.method": "dpo", f"models.{NAME}.pairs.method": "gold_wins", f"models.{NAME}.losers.num_iters": 2,
        f"models.{NAME}.losers.initialize_audio": False,
    }  # fmt: skip


def _generators(switches: dict[str, bool], numbers: dict[str, float], own: dict[str, str]) -> dict[str, Any]:
    """Return the generator, and with ``supcon`` a second one for the views: always by the tuned model, never filtered, as in run.sh."""
    made = {
        "model": NAME if switches["use_dpo"] else BASE, "captions": NAME, "rounds": ROUNDS if switches["iterative"] else 1,
        "filter": switches["clap_filter"], "generate.num_iters": int(numbers["num_iters"]),
    }  # fmt: skip
    views = {"model": NAME, "captions": f"{NAME}_supcon", "rounds": 1, "filter": False, "generate.num_iters": SUPCON_CLIPS}
    start = {"generate.initialize_audio": switches["initialize_audio"]}
    sampler = own.get(f"generators.{NAME}.generate.sampler", "auto")
    if switches["initialize_audio"]:
        start["generate.init_noise_level"] = _noise_level(numbers["init_noise_level"], sampler)
    keys = {f"generators.{NAME}.{key}": value for key, value in (made | start).items()}
    return keys | ({f"generators.{NAME}_supcon.{key}": value for key, value in (views | start).items()} if switches["supcon"] else {})


def _noise_level(sigma: float, sampler: str) -> Any:
    """Return run.sh's noise level in the sampler's units: a k-diffusion σ as it is, else the level with the same noise-to-signal ratio.

    v-ddim and the samplers of rectified flow start from (1−s)·z + s·ε, k-diffusion from z + σ·ε; the ratio s/(1−s) is σ.
    """
    takes_sigma = sampler.startswith(("dpmpp-", "k-"))
    return sigma if takes_sigma else round(sigma / (1 + sigma), 6)


def _filter(switches: dict[str, bool], numbers: dict[str, float], given: dict[str, str]) -> dict[str, Any]:
    """Return the filter's bound, where one was named; unnamed, the rule that suits the checkpoint (0.85 for a published one)."""
    if not switches["clap_filter"] or "clap_threshold" not in given:
        return {}
    return {"clap_filter.score": "sigmoid", "clap_filter.threshold": numbers["clap_threshold"]}


def _arms(switches: dict[str, bool]) -> list[dict[str, Any]]:
    """Return gold only, and what was asked to be compared with it."""
    gold: dict[str, Any] = {"name": "gold only", "sources": [GOLD]}
    if not switches["augment"]:
        return [gold]
    asked: dict[str, Any] = {"name": "synthetic only", "sources": [NAME]}
    if not switches["only_synthetic"]:
        asked = {"name": "gold + synthetic", "sources": [GOLD, NAME]}
    if switches["supcon"]:
        asked["name"] += ", SupCon"
        asked["sources"].append(f"{NAME}_supcon")
        asked["train_ast"] = {"supcon": "two_stage", "supcon_views": SUPCON_CLIPS, **SUPCON_MASKS}
    return [gold, asked]


def _outputs(texts: dict[str, str], switches: dict[str, bool]) -> dict[str, Any]:
    """Return where copies of what is in the store are to lie, and what is done again."""
    sounds = texts["output_folder"] or texts["output_folder_supcon"]
    made: dict[str, Any] = {"export_to": sounds, "export_csv": texts["output_csv_path"], "keep_models_in": texts["dpo_ckpt_folder"]}
    made = {key: value for key, value in made.items() if value}
    return made | ({"force": list(REDONE)} if switches["force_steps"] else {})
