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

from cli.help import usage
from core.errors import SynthloomError, nearest

_DISK = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EPERM}


def main(words: Sequence[str]) -> int:
    """Run one command and return the exit code."""
    arguments = list(words)
    if _wants_help(arguments):
        return _guarded(lambda: _help(arguments))
    if not arguments or "=" in arguments[0] or arguments[0] == "--config":
        arguments.insert(0, "synthio")
    name, rest = arguments[0], arguments[1:]
    return _guarded(lambda: COMMANDS[name](rest) if name in COMMANDS else _flow(name, rest))


def _guarded(act: Callable[[], int]) -> int:
    """Turn errors that are meant for a person into a line and an exit code."""
    try:
        return act()
    except SynthloomError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in _DISK:
            raise
        print(
            f"{error.strerror}: {error.filename or 'the data root'}; make room (./run.sh gc) or rights there, or set SYNTHLOOM_DATA=FOLDER",
            file=sys.stderr,
        )
        return 2


def _wants_help(words: Sequence[str]) -> bool:
    return any(word in ("-h", "--help") for word in words) or words[:1] == ["help"]


def _help(words: Sequence[str]) -> int:
    """Teach what is asked about: everything, a command, a flow, or a flow's setting."""
    from cli import help as teaching
    from cli.flows import FLOWS

    asked = [word for word in words if word not in ("-h", "--help", "help") and "=" not in word]
    if not asked:
        print(teaching.overview())
    elif asked[0] in teaching.COMMANDS:
        print(teaching.of_command(asked[0]))
    elif asked[0] in FLOWS:
        from cli import flow_help

        print(flow_help.of_flow(asked[0], asked[1] if len(asked) > 1 else ""))
    else:
        raise SynthloomError(f"no such flow or command: {asked[0]!r}; {nearest(asked[0], [*FLOWS, *COMMANDS])}; see ./run.sh --help")
    return 0


def _take(words: list[str], flag: str, with_value: bool = False) -> list[str]:
    """Remove every ``flag`` (and its value) from ``words`` and return the values, or the flags themselves."""
    found = []
    while flag in words:
        position = words.index(flag)
        words.pop(position)
        if with_value and position >= len(words):
            raise SynthloomError(f"{flag} needs a value; ./run.sh COMMAND --help says which")
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
    from core import places, runs
    from core.datasets import export

    kinds, outputs = _take(words, "--to", with_value=True), _take(words, "--output", with_value=True)
    if len(words) != 1 or len(kinds) != 1:
        raise usage("export")
    root = places.data_root()
    run = runs.load(root, words[0])
    target = places.caller_path(outputs[0]) if outputs else root / "exports" / f"{run.run_id}-{kinds[0]}"
    with runs.none_removed(root):
        table = export.collect(root, run.extra["exports"])
        print(f"{len(table)} clips → {export.export(kinds[0], table, root, target)}")
    return 0


def _publish(words: list[str]) -> int:
    from cli import datasets
    from core.errors import InvalidValueError

    as_json, forms = bool(_take(words, "--json")), _take(words, "--to", with_value=True)
    names, keeps = _take(words, "--as", with_value=True), _take(words, "--keep", with_value=True)
    if len(words) != 1 or len(names) != 1:
        raise usage("publish")
    if keeps and not (keeps[-1].isdigit() and int(keeps[-1])):
        raise InvalidValueError("no number of versions", where="publish --keep", allowed="1 or more", received=keeps[-1])
    keep = int(keeps[-1]) if keeps else datasets.KEEP
    _print(as_json, *datasets.publish(words[0], names[0], forms[-1] if forms else datasets.FORM, keep))
    return 0


def _datasets(words: list[str]) -> int:
    from cli import datasets

    as_json = bool(_take(words, "--json"))
    _refuse_rest(words)
    _print(as_json, *datasets.listed())
    return 0


def _diff(words: list[str]) -> int:
    from cli import datasets

    as_json = bool(_take(words, "--json"))
    if not 1 <= len(words) <= 3:
        raise usage("diff")
    _print(as_json, *datasets.diff(*words))
    return 0


def _verify(words: list[str]) -> int:
    from cli import datasets

    as_json = bool(_take(words, "--json"))
    if len(words) != 1:
        raise usage("verify")
    value, text = datasets.verify(words[0])
    _print(as_json, value, text)
    return 0 if value["ok"] else 1


def _push(words: list[str]) -> int:
    from cli import datasets

    as_json, public = bool(_take(words, "--json")), bool(_take(words, "--public"))
    if len(words) != 2:
        raise usage("push")
    _print(as_json, *datasets.push(words[0], words[1], public))
    return 0


def _pull(words: list[str]) -> int:
    from cli import datasets

    as_json, names = bool(_take(words, "--json")), _take(words, "--as", with_value=True)
    if len(words) != 1:
        raise usage("pull")
    _print(as_json, *datasets.pull(words[0], names[-1] if names else ""))
    return 0


def _gc(words: list[str]) -> int:
    from cli import gc
    from core.gc import DAYS, KEEP_RUNS

    as_json, yes, caches = bool(_take(words, "--json")), bool(_take(words, "--yes")), bool(_take(words, "--caches"))
    look = bool(_take(words, "--dry-run"))
    days, keep_runs = _number(words, "gc", "--days", DAYS), _number(words, "gc", "--keep-runs", KEEP_RUNS)
    if words:
        raise usage("gc")
    state = gc.collect(days, int(keep_runs), caches=caches, yes=yes and not look)
    _print(as_json, state, gc.as_text(state))
    return 0


def _number(words: list[str], command: str, flag: str, otherwise: float) -> float:
    from core.errors import InvalidValueError

    given = _take(words, flag, with_value=True)
    try:
        return float(given[-1]) if given else otherwise
    except ValueError as error:
        raise InvalidValueError("not a number", where=f"{command} {flag}", allowed="0 or more", received=given[-1]) from error


def _completion(words: list[str]) -> int:
    from cli import completion

    if len(words) != 1:
        raise usage("completion")
    print(completion.script(words[0]))
    return 0


def _complete(words: list[str]) -> int:
    from cli import completion

    print("\n".join(completion.candidates(words)))
    return 0


def _bench(words: list[str]) -> int:
    from benchmarks.run import chosen, run_benchmarks
    from cli import server, settings
    from core import places

    as_json = bool(_take(words, "--json"))
    wanted = chosen(words)
    started_here = server.find() is None
    prefect_server = server.start()
    server.wait(prefect_server)
    os.environ.update(settings.prefect_environment(prefect_server.api_url, console="CRITICAL"))
    try:
        figures = run_benchmarks(
            wanted, places.data_root(), lambda text: print(text, file=sys.stderr if as_json else sys.stdout, flush=True)
        )
    finally:
        if started_here:
            server.stop()
    if as_json:
        print(json.dumps([{**one, "figure": one["figure"] if one["figure"] == one["figure"] else None} for one in figures], indent=1))
    return 0 if all(figure["holds"] for figure in figures) else 1


def _pages(words: list[str]) -> int:
    from cli import pages

    return pages.command(words)


def _test(words: list[str]) -> int:
    from cli.tests import run_tests

    return run_tests(words)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "plan": _plan, "setup": _setup, "doctor": _doctor, "up": _up, "down": _down, "deploy": _deploy, "status": _status,
    "export": _export, "publish": _publish, "datasets": _datasets, "diff": _diff, "verify": _verify, "push": _push, "pull": _pull,
    "bench": _bench, "test": _test, "pages": _pages, "gc": _gc, "completion": _completion, "__complete": _complete,
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
