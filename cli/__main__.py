"""Dispatches ``./run.sh`` commands. Imports are local to each command, so that ``--help`` and refusals are quick."""

from __future__ import annotations

import errno
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.errors import SynthloomError, nearest

HELP = """\
synthloom: make synthetic audio, check it, train on it, and see honestly whether it helped.

  ./run.sh                                  run synthio on the demo dataset (needs no data, no account, no GPU)
  ./run.sh synthio dataset=esc10 dataset.root=DIR num_samples=50
  ./run.sh FLOW [key=value …] [--config FILE]   run a flow; unknown keys are refused with the nearest name
  ./run.sh plan FLOW [key=value …]          which steps would run, which are up to date and why; starts nothing
  ./run.sh setup [ENV…]                     build the environments
  ./run.sh doctor                           look at this machine and say what is missing
  ./run.sh up [--cluster N] | down          start or stop server, page server and worker on 127.0.0.1 (and a local Dask cluster)
  ./run.sh deploy [--file FILE]             deploy prefect.yaml: runs by form and by schedule in the Prefect UI
  ./run.sh status [RUN]                     server, runs, taken device slots; with RUN (or last) what its steps cost
  ./run.sh export RUN --to csv|audiofolder|webdataset [--output DIR]
  ./run.sh bench [NAME]                     measure the claims again
  ./run.sh test [PATH …]                    run the tests; arguments go to pytest

  plan, status, doctor and bench take --json. Results land below SYNTHLOOM_DATA (default ./data).

flows:
{flows}
settings of a flow: configs/FLOW.yaml; datasets: configs/datasets/*.yaml
"""


_DISK = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EPERM}


def main(words: Sequence[str]) -> int:
    """Run one command and return the exit code."""
    arguments = list(words)
    if any(word in ("-h", "--help", "help") for word in arguments[:2]):
        return _help()
    if not arguments or "=" in arguments[0] or arguments[0] == "--config":
        arguments.insert(0, "synthio")
    name, rest = arguments[0], arguments[1:]
    try:
        return COMMANDS[name](rest) if name in COMMANDS else _flow(name, rest)
    except SynthloomError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in _DISK:
            raise
        print(
            f"{error.strerror}: {error.filename or 'the data root'}; make room or rights there, or set SYNTHLOOM_DATA=FOLDER",
            file=sys.stderr,
        )
        return 2


def _help() -> int:
    from cli.flows import FLOWS

    print(HELP.format(flows="".join(f"  {name:<14} {text}\n" for name, text in FLOWS.items())))
    return 0


def _take(words: list[str], flag: str, with_value: bool = False) -> list[str]:
    """Remove every ``flag`` (and its value) from ``words`` and return the values, or the flags themselves."""
    found = []
    while flag in words:
        position = words.index(flag)
        words.pop(position)
        if with_value and position >= len(words):
            raise SynthloomError(f"{flag} needs a value")
        found.append(words.pop(position) if with_value else flag)
    return found


def _files(words: list[str]) -> list[Path]:
    from core.places import caller_path

    return [caller_path(text) for text in _take(words, "--config", with_value=True)]


def _refuse_rest(words: Sequence[str]) -> None:
    if words:
        raise SynthloomError(f"not understood: {' '.join(words)}; see ./run.sh --help")


def _print(as_json: bool, value: Any, text: str) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False) if as_json else text)


def _flow(name: str, words: list[str]) -> int:
    from cli.flows import FLOWS

    if name not in FLOWS:
        raise SynthloomError(f"no such flow or command: {name!r}; {nearest(name, [*FLOWS, *COMMANDS])}; see ./run.sh --help")
    from cli.run import run_flow

    files = _files(words)
    return run_flow(name, words, files)


def _plan(words: list[str]) -> int:
    from cli import flows, plan
    from core import devices, places
    from core.store import Store

    as_json, files = bool(_take(words, "--json")), _files(words)
    flow = words.pop(0) if words and "=" not in words[0] else "synthio"
    root = places.data_root()
    planned = flows.prepare(flow, words, files, root, places.caller_path("."), shlex.join(["./run.sh", flow, *words]))
    steps = plan.plan(planned.plan.graph, Store(root), planned.config.force)
    seconds = plan.total_estimate_s(steps, planned.plan.graph, devices.discover(planned.config.devices))
    _print(as_json, {"title": planned.plan.title, **plan.as_json(steps, seconds)}, f"{planned.plan.title}\n{plan.as_text(steps, seconds)}")
    return 0


def _setup(words: list[str]) -> int:
    from core import environments

    for name in words or [name for name in environments.needed() if name != "test"]:
        environments.python(name)  # refuses unknown names before the first one is built
    for name in words or [name for name in environments.needed() if name != "test"]:
        if not environments.build(name, print):
            print(f"{name}: up to date")
    return 0


def _doctor(words: list[str]) -> int:
    from cli import doctor

    as_json = bool(_take(words, "--json"))
    _refuse_rest(words)
    findings = doctor.examine()
    value = doctor.as_json(findings)
    _print(as_json, value, doctor.as_text(findings))
    return 0 if value["ok"] else 1


def _up(words: list[str]) -> int:
    from cli import cluster, pages, server, worker
    from core.errors import InvalidValueError

    counts = _take(words, "--cluster", with_value=True)
    _refuse_rest(words)
    if counts and not counts[-1].isdigit():
        raise InvalidValueError("not a number", where="up --cluster", allowed="a number of workers", received=counts[-1])
    started = server.start()
    print(f"result pages: {pages.start()}/", flush=True)
    server.wait(started)
    print(f"Prefect UI:   {started.ui_url}", flush=True)
    worker.start(started)
    if counts:
        print(f"Dask cluster: {cluster.start(started, int(counts[-1]))}   (use it with cluster=ADDRESS)", flush=True)
    worker.wait(started)
    print("worker:       ready; ./run.sh deploy lets runs be started in the UI, ./run.sh down stops all of it")
    return 0


def _down(words: list[str]) -> int:
    from cli import cluster, pages, server, services, worker

    _refuse_rest(words)
    stopped = [name for name in (worker.NAME, pages.NAME) if services.stop(name)]
    stopped += ["cluster"] if cluster.stop() else []
    stopped += ["server"] if server.stop() else []
    print(f"stopped: {', '.join(stopped)}" if stopped else "nothing of this data root was running")
    return 0


def _deploy(words: list[str]) -> int:
    from cli import deploy, server, worker
    from core.places import caller_path

    files = _take(words, "--file", with_value=True)
    _refuse_rest(words)
    started = server.start()
    server.wait(started)
    worker.start(started)
    print("\n".join(deploy.deploy(started, caller_path(files[-1]) if files else None)))
    print(f"start them at {started.ui_url}/deployments")
    return 0


def _status(words: list[str]) -> int:
    from cli import status
    from core import places, runs

    as_json = bool(_take(words, "--json"))
    if words:
        run = runs.load(places.data_root(), words.pop(0))
        _refuse_rest(words)
        rows = status.costs(places.data_root(), run)
        _print(as_json, {"run": run.run_id, "state": run.state, "costs": rows}, status.costs_as_text(run, rows))
        return 0
    state = status.collect()
    _print(as_json, state, status.as_text(state))
    return 0


def _export(words: list[str]) -> int:
    from core import export, places, runs

    kinds, outputs = _take(words, "--to", with_value=True), _take(words, "--output", with_value=True)
    if len(words) != 1 or len(kinds) != 1:
        raise SynthloomError("usage: ./run.sh export RUN --to csv|audiofolder|webdataset [--output DIR]; RUN is an id from status, or last")
    root = places.data_root()
    run = runs.load(root, words[0])
    target = places.caller_path(outputs[0]) if outputs else root / "exports" / f"{run.run_id}-{kinds[0]}"
    table = export.collect(root, run.extra["exports"])
    print(f"{len(table)} clips → {export.export(kinds[0], table, root, target)}")
    return 0


def _bench(words: list[str]) -> int:
    from benchmarks.run import chosen, run_benchmarks
    from cli import server, settings

    as_json = bool(_take(words, "--json"))
    wanted = chosen(words)
    started_here = server.find() is None
    prefect_server = server.start()
    server.wait(prefect_server)
    os.environ.update(settings.prefect_environment(prefect_server.api_url, console="CRITICAL"))
    try:
        figures, text = run_benchmarks(wanted)
    finally:
        if started_here:
            server.stop()
    _print(as_json, figures, text)
    return 0 if all(figure["holds"] for figure in figures) else 1


def _test(words: list[str]) -> int:
    from cli.tests import run_tests

    return run_tests(words)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "plan": _plan, "setup": _setup, "doctor": _doctor, "up": _up, "down": _down, "deploy": _deploy, "status": _status,
    "export": _export, "bench": _bench, "test": _test,
}  # fmt: skip


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader (head, less) went away
        code = 0
    sys.exit(code)
