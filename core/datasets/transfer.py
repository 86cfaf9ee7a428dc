"""Sends a version to another place and fetches one, resumably. Runs in ``envs/exchange``: ``python -m core.datasets.transfer``.

Data go first, ``version.json`` last: a place without it holds no version. Until then ``.synthloom-plan`` there
lists what shall arrive, and ``.synthloom-sent`` what has, twice: a kill while one is written leaves the other.
The request comes as one line of JSON on stdin, whose end ends this program; lines of JSON on stdout say how far it is and how it ended.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.datasets import addresses, listing
from core.datasets.listing import Entry
from core.datasets.naming import check_version
from core.datasets.remotes import AT_ONCE, Remote, open_remote
from core.errors import InvalidValueError, SynthloomError
from core.redact import redactor

PLAN, SENT = ".synthloom-plan", (".synthloom-sent", ".synthloom-sent-again")
SPECIAL = (listing.VERSION_FILE, listing.LISTING, PLAN, *SENT)
BATCH_FILES, BATCH_BYTES = 64, 256 << 20
"""So much is sent at most before the list of what has arrived is written again: what a kill costs."""
MAX_VERSION, MAX_LISTING = 64 << 20, 1 << 30
"""Bytes of ``version.json`` and of the listing that are read at most."""
Report = Callable[[int, int], None]
"""Is told files done, and files in all."""


@dataclass(frozen=True)
class _Before:
    """What lies at a place before a sending."""

    sizes: dict[str, int]
    """Bytes of every file."""
    arrived: dict[str, Entry]
    """Files of ours that have arrived completely."""
    ours: set[str]
    """Files that this program has sent, or began to."""
    text: str
    """The listing of the finished version; empty where there is none."""


def push(folder: Path, remote: Remote, where: str, report: Report) -> dict[str, int]:
    """Send a version; what is there already, by digest and size, is passed over. Files that others laid there are left alone.

    Args:
        folder: a published version.
        remote: where to.
        where: the address, for errors.
        report: is told how far it is.

    Returns:
        ``sent``, ``passed_over`` and ``removed`` files, and ``bytes`` sent.

    Raises:
        InvalidValueError: other files lie there, and no version.
    """
    text = (folder / listing.LISTING).read_text(encoding="utf-8")
    entries = listing.parse(text)
    data, total = [entry for entry in entries if entry.path != listing.VERSION_FILE], len(entries) + 1
    before = _look_before(remote, where)
    wanted = [entry for entry in data if before.arrived.get(entry.path) != entry or before.sizes.get(entry.path) != entry.size]
    if before.text == text and not wanted and PLAN not in before.sizes:
        return {"sent": 0, "passed_over": total, "removed": 0, "bytes": 0}
    # What is about to be overwritten counts as missing from the start: a kill in between must not leave a digest that no longer holds.
    missing = {listing.VERSION_FILE, *(entry.path for entry in wanted)}
    arrived = {path: entry for path, entry in before.arrived.items() if path not in missing}
    _begin(remote, entries, before, arrived)
    done = len(data) - len(wanted)
    for batch in _batches(wanted):
        arrived |= {entry.path: entry for entry in batch}
        remote.send([(folder / entry.path, entry.path) for entry in batch], _note(arrived.values()))
        done += len(batch)
        report(done, total)
    stale = sorted((before.ours & before.sizes.keys()) - {entry.path for entry in entries} - {*SPECIAL})
    remote.send([(folder / listing.LISTING, listing.LISTING)], {})
    remote.send([(folder / listing.VERSION_FILE, listing.VERSION_FILE)], {})
    remote.remove([*stale, *[name for name in (*SENT, PLAN) if name in remote.sizes()]])
    report(total, total)
    return {"sent": len(wanted) + 2, "passed_over": len(data) - len(wanted), "removed": len(stale), "bytes": sum(e.size for e in wanted)}


def _begin(remote: Remote, entries: list[Entry], before: _Before, arrived: dict[str, Entry]) -> None:
    """Write down what is about to be sent; from now on the place holds no version, until all of the new one is there."""
    plan = {name: Entry(name, 0, "0" * 64) for name in before.ours - {*SPECIAL}} | {entry.path: entry for entry in entries}
    remote.send([], {PLAN: listing.render(plan.values()).encode(), **_note(arrived.values())})
    remote.remove([name for name in (listing.VERSION_FILE, listing.LISTING) if name in before.sizes])


def _note(arrived: Iterable[Entry]) -> dict[str, bytes]:
    """Return the lists of what has arrived. Not every place can exchange a file at once, so the second is written after the first."""
    return dict.fromkeys(SENT, listing.render(arrived).encode())


def _look_before(remote: Remote, where: str) -> _Before:
    """Say what of ours a place holds, finished or not.

    Raises:
        InvalidValueError: it holds files, and none of ours.
    """
    sizes = remote.sizes()
    finished = listing.VERSION_FILE in sizes and listing.LISTING in sizes
    if sizes.keys() - {listing.CARD, *SENT} and not finished and PLAN not in sizes:
        hint = "name a folder of its own below it"
        raise InvalidValueError("holds other files", where=where, allowed="an empty place", received=sorted(sizes)[:5], hint=hint)
    text = remote.read(listing.LISTING, MAX_LISTING).decode(errors="replace") if finished else ""
    listed = _entries(text)
    noted = [_entries(remote.read(name, MAX_LISTING).decode(errors="replace")) for name in SENT if name in sizes]
    sent = next((entries for entries in noted if entries), {}) if noted else listed
    planned = _entries(remote.read(PLAN, MAX_LISTING).decode(errors="replace")) if PLAN in sizes else {}
    arrived = {path: entry for path, entry in sent.items() if path in sizes}
    return _Before(sizes, arrived, {*listed, *sent, *planned, *(SPECIAL if finished or planned else ())}, text)


def _entries(text: str) -> dict[str, Entry]:
    """Return a listing's entries by path; none where it was cut off while it was written."""
    try:
        return {entry.path: entry for entry in listing.parse(text)}
    except InvalidValueError:
        return {}


def _batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    for entry in entries:
        if batch and (len(batch) >= BATCH_FILES or sum(item.size for item in batch) + entry.size > BATCH_BYTES):
            yield batch
            batch = []
        batch.append(entry)
    if batch:
        yield batch


def look(remote: Remote, where: str) -> tuple[dict[str, Any], bytes, bytes]:
    """Return what a place's ``version.json`` says, its bytes, and the listing's, after looking at every name in them.

    Raises:
        InvalidValueError: there is no finished version, or names in it are not to be trusted.
    """
    sizes = remote.sizes()
    if listing.VERSION_FILE not in sizes or listing.LISTING not in sizes:
        what = "a version that was not sent completely" if PLAN in sizes else "no version of a dataset"
        hint = "let the sender push again: it goes on where it stopped" if PLAN in sizes else "push puts one there"
        raise InvalidValueError(what, where=where, allowed="version.json and files.sha256", received=sorted(sizes)[:5], hint=hint)
    head, text = remote.read(listing.VERSION_FILE, MAX_VERSION), remote.read(listing.LISTING, MAX_LISTING)
    try:
        version = check_version(json.loads(head), f"{where}/{listing.VERSION_FILE}")
        entries = listing.parse(text.decode(), f"{where}/{listing.LISTING}")
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidValueError(f"cannot be read: {error}", where=where, allowed="what push wrote", received="damaged") from error
    for entry in entries:
        if sizes.get(entry.path) != entry.size:
            received = sizes.get(entry.path, "no such file")
            raise InvalidValueError(
                "not what the listing says", where=f"{where}/{entry.path}", allowed=f"{entry.size} bytes", received=received
            )
    return version, head, text


def pull(remote: Remote, folder: Path, where: str, report: Report) -> dict[str, int]:
    """Fetch a version into a folder; files that lie there with the right digest are passed over.

    Args:
        remote: where from.
        folder: an unfinished copy, or a folder that does not exist yet.
        where: the address, for errors.
        report: is told how far it is.

    Returns:
        ``fetched`` and ``passed_over`` files, and ``bytes`` fetched.

    Raises:
        InvalidValueError: as :func:`look`, or a file arrived with another digest twice.
    """
    _, _, text = look(remote, where)
    entries = listing.parse(text.decode(), where)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [entry for entry in entries if not entry.fits(folder / entry.path)]
    _check_room(folder, sum(entry.size for entry in wanted))
    done = len(entries) - len(wanted)
    lock = threading.Lock()

    def one(entry: Entry) -> None:
        nonlocal done
        _fetch(remote, folder, entry, where)
        with lock:
            done += 1
            report(done, len(entries))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, wanted))
    (folder / listing.LISTING).write_bytes(text)
    known = {entry.path for entry in entries} | {listing.LISTING}
    for path in [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).as_posix() not in known]:
        path.unlink()  # half files of an earlier attempt
    return {"fetched": len(wanted), "passed_over": len(entries) - len(wanted), "bytes": sum(entry.size for entry in wanted)}


def _fetch(remote: Remote, folder: Path, entry: Entry, where: str) -> None:
    """Fetch one file under a temporary name and check its digest; once more where it is wrong."""
    target = folder / entry.path
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name[:200]}.part")
    for _ in range(2):
        remote.fetch(entry.path, temporary)
        if entry.fits(temporary):
            temporary.replace(target)
            return
    temporary.unlink()
    hint = "the file is damaged there: remove it there and let the sender push again, which sends what is missing"
    raise InvalidValueError("another digest", where=f"{where}/{entry.path}", allowed=entry.digest, received="other bytes", hint=hint)


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InvalidValueError("too little room", where=str(folder), allowed=f"{size / 1e9:.1f} GB free", received=f"{free / 1e9:.1f} GB")


def main() -> int:
    """Do what the line on stdin says and return the exit code."""
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    clean = redactor()

    def say(kind: str, value: Any) -> None:
        print(json.dumps({kind: clean(value)}), flush=True)

    def report(done: int, total: int) -> None:
        say("progress", [done, total])

    try:
        address = addresses.parse(request["address"])
        remote = open_remote(address, bool(request.get("public")))
        if request["do"] == "push":
            say("result", push(Path(request["folder"]), remote, address.text, report))
        elif request["do"] == "look":
            version, _, _ = look(remote, address.text)
            say("result", {"name": version["name"], "version": version["version"]})
        else:
            say("result", pull(remote, Path(request["folder"]), address.text, report))
    except SynthloomError as error:
        say("error", str(error))
        return 2
    except Exception as error:  # every library has errors of its own for a refused key, a missing bucket, a line that broke
        say("error", f"{address.text}: {type(error).__name__}: {error}")
        return 3
    return 0


def _end_with_parent() -> None:
    """End this process, threads and half-sent files and all, when the other end of stdin closes."""
    while sys.stdin.read(4096):
        pass
    os._exit(4)


if __name__ == "__main__":
    sys.exit(main())
