"""What there is to know of every command: one table, from which ``--help``, usage errors and shell completion are made."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

from cli.flows import FLOWS
from core.errors import SynthloomError

WIDTH = 118


@dataclass(frozen=True)
class Command:
    """One command, as a person needs to know it."""

    usage: str
    """What stands behind ``./run.sh NAME``."""
    summary: str
    """Its line in the overview."""
    about: str
    """What it does, in a few sentences."""
    examples: Mapping[str, str]
    """Commands that work, and what for."""
    leaves: str
    """What it leaves where."""
    next: str
    """The command that usually follows."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Help by argument; an option is written with the value it takes (``--days N``), choices with bars (``--to csv|lhotse``)."""
    group: str = ""
    """Heading in the overview."""


RUN = "RUN"
_RUN_HELP = "id of a run, its beginning, or last; ./run.sh status lists them"
_NAME_HELP = "name of a published dataset; ./run.sh datasets lists them"
_JSON = {"--json": "the same for programs"}
_FORMS = "--to audiofolder|csv|lhotse|webdataset"

COMMANDS: dict[str, Command] = {
    "plan": Command(
        "FLOW [key=value …] [--config FILE]", "which steps would run, which are up to date and why; starts nothing",
        "Resolves the settings, keys every step and looks which are done. Needs no server. A step that would run says why: it never "
        "ran, its "
        "code or a setting changed (which one), it was interrupted, or something it reads is made anew.",
        {"./run.sh plan synthio": "the demo study", "./run.sh plan syntone training_seeds=[1] --json": "for programs"},
        "nothing but digests of the files it read (digests.json)", "./run.sh FLOW with the same words runs it",
        {"FLOW": "one of the flows; synthio where none is named", "key=value": "settings of the flow; ./run.sh FLOW --help",
         "--config FILE": "YAML with settings, may be given several times", **_JSON}, "run",
    ),
    "status": Command(
        "[RUN]", "server, runs, device slots, disk; with RUN (or last) what its steps cost",
        "Without a run: whether the server is up, which runs there were and how they ended, which device slots somebody holds, and what "
        "takes "
        "the disk. With one: seconds, processor time and memory of every step.",
        {"./run.sh status": "everything at a glance", "./run.sh status last": "what the newest run cost"},
        "nothing", "./run.sh pages for all runs as a page; the command of a failed run, typed again, resumes it",
        {RUN: _RUN_HELP, **_JSON}, "run",
    ),
    "pages": Command(
        "", "write the index of all runs anew, and say where it is",
        "Every run writes it at its end; this does it by hand, after a copy or a clean-up.",
        {"./run.sh pages": "data/runs/index.html"}, "runs/index.html and a page for each run, below the data root", "./run.sh up serves "
        "them",
        {}, "run",
    ),
    "export": Command(
        "RUN --to FORM [--output DIR]", "take a run's clips out: audiofolder, csv, lhotse or webdataset",
        "Copies the accepted clips of a run with labels, captions and splits into a folder that other tools open.",
        {"./run.sh export last --to audiofolder": "for datasets.load_dataset(\"audiofolder\", data_dir=…)",
         "./run.sh export last --to csv --output my_export": "a table and the sounds"},
        "exports/RUN-FORM below the data root, or DIR", "./run.sh publish RUN --as NAME, to keep it as a version",
        {RUN: _RUN_HELP, _FORMS: "the form", "--output DIR": "where to; relative to where you are"}, "datasets",
    ),
    "publish": Command(
        "RUN --as NAME [--to FORM] [--keep N]", "freeze a run's clips as a version, with card, licences and digests",
        "Makes a version whose name follows from its content, with a card, counts, scores, known limits, attributions and the digest of "
        "every "
        "file, and lets `current` point at it. The same clips again make no second version.",
        {"./run.sh publish last --as mine": "the newest run as the dataset mine"},
        "published/NAME/VERSION and published/NAME/current, below the data root",
        "./run.sh diff NAME after the second version; ./run.sh push NAME ADDRESS; ./run.sh synthio dataset=published dataset.name=NAME",
        {RUN: _RUN_HELP, "--as NAME": "lasting name", _FORMS: "audiofolder where nothing is said", "--keep N": "versions to keep, 3",
        **_JSON},
        "datasets",
    ),
    "datasets": Command(
        "", "what is published: names, versions, clips",
        "Lists every version of every published or fetched dataset, and which is current.",
        {"./run.sh datasets": "all of them"}, "nothing", "./run.sh verify NAME, ./run.sh diff NAME", {**_JSON}, "datasets",
    ),
    "diff": Command(
        "NAME [OLD [NEW]]", "what differs between two versions (the last two)",
        "Clips added, removed and changed, by label and split, durations, scores, and the facts side by side.",
        {"./run.sh diff mine": "the last two versions"}, "nothing", "./run.sh push NAME ADDRESS",
        {"NAME": _NAME_HELP, "OLD NEW": "versions, or beginnings of their names", **_JSON}, "datasets",
    ),
    "verify": Command(
        "NAME[@VERSION]|FOLDER", "every digest, size and row of a version",
        "Reads every file of a version and compares it with what was published: one flipped byte is found. Ends with 1 when something "
        "differs.",
        {"./run.sh verify mine": "the current version"}, "nothing", "./run.sh pull ADDRESS fetches what is damaged here and whole "
        "elsewhere",
        {"NAME": _NAME_HELP, **_JSON}, "datasets",
    ),
    "push": Command(
        "NAME[@VERSION] ADDRESS [--public]", "send a version to a folder, a bucket or a hub",
        "Files that are there already are passed over; the version's record goes last. Credentials come from the environment (AWS_…, "
        "HF_TOKEN).",
        {"./run.sh push mine file:///tmp/synthloom-copy": "a folder", "./run.sh push mine s3://BUCKET/mine": "a bucket",
         "./run.sh push mine hf://datasets/OWNER/mine": "a hub"},
        "the version at ADDRESS", "./run.sh pull ADDRESS on the other machine",
        {"NAME": _NAME_HELP, "ADDRESS": "any fsspec address", "--public": "make a hub's dataset public", **_JSON}, "datasets",
    ),
    "pull": Command(
        "ADDRESS [--as NAME]", "fetch a version; every digest is checked before it counts",
        "Goes on where it was stopped, and renames the version into place only when every digest is right.",
        {"./run.sh pull file:///tmp/synthloom-copy --as mine": "from a folder"},
        "published/NAME/VERSION below the data root", "./run.sh synthio dataset=published dataset.name=NAME",
        {"ADDRESS": "where push sent it", "--as NAME": "another name here", **_JSON}, "datasets",
    ),
    "setup": Command(
        "[ENV …]", "build the environments (a run builds those it needs by itself)",
        "Builds envs/ENV/.venv from its hash-pinned lock, with uv; one that is up to date is passed over. Without names: all that are "
        "not optional.",
        {"./run.sh setup": "all", "./run.sh setup train presets": "two of them"}, "envs/ENV/.venv", "./run.sh doctor",
        {"ENV": "folders of envs/"}, "machine",
    ),
    "doctor": Command(
        "", "look at this machine and say what is missing",
        "Python, uv, environments, devices, memory, disk, leases and server; changes nothing. Ends with 1 when a run could not work.",
        {"./run.sh doctor": "every finding with what to do about it"}, "nothing", "./run.sh plan synthio", {**_JSON}, "machine",
    ),
    "up": Command(
        "[--cluster N]", "start server, page server and worker on 127.0.0.1 (and N Dask workers)",
        "Starts the Prefect server (4200), the page server (4280) and a worker that runs what is deployed; a taken port is replaced by "
        "a free one "
        "(SYNTHLOOM_PORT, SYNTHLOOM_PAGES_PORT choose).",
        {"./run.sh up": "the usual house", "./run.sh up --cluster 2": "and a Dask cluster to try cluster= with"},
        "processes, and their logs and records in prefect/ below the data root", "./run.sh deploy, then ./run.sh down in the end",
        {"--cluster N": "workers of a local Dask cluster"}, "machine",
    ),
    "down": Command(
        "", "stop what up, deploy and runs started", "Stops the worker, the page server, the cluster and the server of this data root, "
        "and no others.",
        {"./run.sh down": ""}, "the data, as it is", "./run.sh up", {}, "machine",
    ),
    "deploy": Command(
        "[--file FILE]", "put prefect.yaml's flows and schedules into the Prefect UI",
        "Every flow gets a form with its settings, `regenerate` its schedules. Starts server and worker where they are not there.",
        {"./run.sh deploy": "what prefect.yaml says", "./run.sh deploy --file my_schedules.yaml": "schedules of your own"},
        "deployments on the server", "start one in the UI; ./run.sh status",
        {"--file FILE": "another file of that form"}, "machine",
    ),
    "gc": Command(
        "[--days N] [--keep-runs N] [--caches] [--yes]", "what takes the disk, what nobody needs, and (--yes) its removal",
        "Kept is what runs of the last N days (30), the newest N runs (10), running work and published datasets lead to. Everything "
        "else that "
        "stages made can go: a run that asks for it makes it again. Records of runs, exports and published datasets are never touched.",
        {"./run.sh gc": "look", "./run.sh gc --days 0 --keep-runs 1 --yes": "keep the newest run alone"},
        "with --yes: fewer folders in stages/ and attempts/", "./run.sh pages; the command of a run whose outputs went makes them again",
        {"--days N": "keep runs, and folders of no run, of the last N days", "--keep-runs N": "keep the newest N runs",
         "--caches": "compiled code and fonts, too; downloads stay", "--dry-run": "only look; so it is without --yes",
         "--yes": "remove it", **_JSON}, "machine",
    ),
    "bench": Command(
        "[BENCHMARK …]", "measure the claims again",
        "Runs the benchmarks by name (all of them without one) and says for each figure whether it holds. Takes minutes to hours.",
        {"./run.sh bench engine": "what the engine costs", "./run.sh bench all": "all of them"},
        "bench/ below the data root: figures, and index.html with every figure, its method and its machine",
        "docs/comparison.md says what each figure stands for",
        {"BENCHMARK": "names; one that begins with a flow's is about that flow", **_JSON}, "machine",
    ),
    "test": Command(
        "[PATH …] [-k WORD] …", "run the tests, each in its own environment; other words go to pytest",
        "Every test runs in the environment of what it tests, two environments at a time.",
        {"./run.sh test": "all of them", "./run.sh test tests/core -k store": "some"}, "nothing", "",
        {"PATH": "files or folders of tests/, also FILE::TEST"}, "machine",
    ),
    "completion": Command(
        "bash|zsh", "print a script that completes commands, settings, runs and datasets",
        "The shell asks ./run.sh for the words that fit: commands, flows, nested settings and their choices, presets, datasets, runs, "
        "environments.",
        {"source <(./run.sh completion bash)": "in ~/.bashrc, with the path of the checkout", "source <(./run.sh completion zsh)": "in "
        "~/.zshrc"},
        "nothing", "./run.sh <Tab>", {"bash|zsh": "the shell"}, "machine",
    ),
}  # fmt: skip

GROUPS = {"run": "runs", "datasets": "datasets", "machine": "machine"}


def usage(name: str) -> SynthloomError:
    """Return the error for a command that was called with the wrong words."""
    return SynthloomError(f"usage: ./run.sh {name} {COMMANDS[name].usage}; ./run.sh {name} --help says more".replace("  ", " "))


def overview() -> str:
    """Return one screen: flows, commands and where to read on."""
    lines = [
        "synthloom: make synthetic audio, check it, train on it, and see honestly whether it helped.", "",
        "  ./run.sh                           the synthio study on the demo dataset; needs no data, no account, no GPU",
        "  ./run.sh FLOW [key=value …] [--config FILE]     run a flow; its settings: ./run.sh FLOW --help",
        *(f"    {name:<14} {text}" for name, text in FLOWS.items()),
    ]  # fmt: skip
    for group, heading in GROUPS.items():
        lines += ["", f"{heading}:"]
        lines += [f"  ./run.sh {name:<11} {item.summary}" for name, item in COMMANDS.items() if item.group == group]
    lines += [
        "",
        "./run.sh COMMAND --help teaches a command. Results land below SYNTHLOOM_DATA (default ./data). Begin: docs/first_hour.md",
    ]
    return "\n".join(lines)


def of_command(name: str) -> str:
    """Return what there is to know of one command."""
    item = COMMANDS[name]
    lines = [f"./run.sh {name} {item.usage}".rstrip(), "", textwrap.fill(item.about, WIDTH)]
    if item.arguments:
        lines += ["", *aligned(item.arguments)]
    lines += ["", "examples", *aligned(item.examples)]
    lines += ["", f"leaves  {item.leaves}"]
    lines += [f"next    {item.next}"] if item.next else []
    return "\n".join(lines)


def aligned(rows: Mapping[str, str], indent: int = 2) -> list[str]:
    """Return two columns, the second one wrapped; a long first one has a line of its own."""
    first = min(44, max((len(name) for name in rows), default=0))
    lines = []
    for name, said in rows.items():
        wrapped = textwrap.wrap(said, WIDTH - indent - first - 2) or [""]
        head = " " * indent + name.ljust(first)
        beside = len(name) <= first
        lines.append(f"{head}  {wrapped[0]}".rstrip() if beside else head)
        lines += [" " * (indent + first + 2) + part for part in wrapped[1 if beside else 0 :] if part]
    return lines
