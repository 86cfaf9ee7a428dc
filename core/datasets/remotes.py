"""Places that hold a version: an fsspec file system, or a dataset repository on a hub. Runs in ``envs/exchange``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from core.datasets import addresses
from core.datasets.addresses import HUB, Address
from core.errors import InvalidValueError

AT_ONCE = 8
"""Files sent or fetched at once: small files wait for answers more than for the line."""


class Remote(Protocol):
    """What sending and fetching need of a place; paths are relative to the version's folder there."""

    def sizes(self) -> dict[str, int]:
        """Return the size in bytes of every file that is there; none where there is nothing yet."""

    def read(self, path: str, limit: int) -> bytes:
        """Return a small file, at most ``limit`` bytes of it."""

    def send(self, files: Sequence[tuple[Path, str]], notes: dict[str, bytes]) -> None:
        """Send local files, and after them small texts by path."""

    def fetch(self, path: str, target: Path) -> None:
        """Write one file to ``target``."""

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files that are there."""


def open_remote(address: Address, public: bool = False) -> Remote:
    """Return the place an address names; ``public`` is for a hub repository that is made now.

    Raises:
        InvalidValueError: no library for this kind of address is installed.
    """
    return OnHub(address, public) if address.protocol == HUB else OnFileSystem(address)


class OnFileSystem:
    """A folder on any file system that fsspec knows."""

    def __init__(self, address: Address) -> None:
        import fsspec  # type: ignore[import-untyped]

        endpoint = addresses.s3_endpoint()
        options: dict[str, Any] = {"endpoint_url": endpoint} if address.protocol == "s3" and endpoint else {}
        try:
            self._system = fsspec.filesystem(address.protocol, skip_instance_cache=True, use_listings_cache=False, **options)
        except (ImportError, ValueError) as error:
            hint = "add its library to envs/exchange/requirements.in and compile the lock"
            raise InvalidValueError(
                f"not reachable from here: {error}", where="ADDRESS", allowed=addresses.EXAMPLES, received=address.protocol, hint=hint
            ) from error
        self._base = self._system._strip_protocol(address.text).rstrip("/")

    def _at(self, path: str) -> str:
        return f"{self._base}/{path}"

    def sizes(self) -> dict[str, int]:
        """See :class:`Remote`."""
        try:
            found = self._system.find(self._base, detail=True)
        except FileNotFoundError:
            return {}
        prefix = len(self._base) + 1
        return {name[prefix:]: int(entry["size"]) for name, entry in found.items() if entry["type"] == "file" and len(name) > prefix}

    def read(self, path: str, limit: int) -> bytes:
        """See :class:`Remote`."""
        with self._system.open(self._at(path), "rb") as handle:
            return bytes(handle.read(limit))

    def send(self, files: Sequence[tuple[Path, str]], notes: dict[str, bytes]) -> None:
        """See :class:`Remote`."""
        for folder in sorted({self._at(path).rpartition("/")[0] for path in [*(path for _, path in files), *notes]}):
            if self._system.protocol not in ("s3", ("s3", "s3a")):  # object stores have no folders to make
                self._system.makedirs(folder, exist_ok=True)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda item: self._system.put_file(str(item[0]), self._at(item[1])), files))
        for path, data in notes.items():
            self._system.pipe_file(self._at(path), data)

    def fetch(self, path: str, target: Path) -> None:
        """See :class:`Remote`."""
        self._system.get_file(self._at(path), str(target))

    def remove(self, paths: Sequence[str]) -> None:
        """See :class:`Remote`."""
        for path in paths:
            self._system.rm_file(self._at(path))


class OnHub:
    """A dataset repository on the Hugging Face hub (or the server that ``HF_ENDPOINT`` names); each ``send`` is one commit."""

    def __init__(self, address: Address, public: bool) -> None:
        from huggingface_hub import HfApi

        self._api: Any = HfApi(token=os.environ.get("HF_TOKEN") or None)
        self._repository, self._revision, self._public = address.path, address.revision or None, public
        self._exists = False

    def sizes(self) -> dict[str, int]:
        """See :class:`Remote`."""
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        try:
            tree = list(self._api.list_repo_tree(self._repository, recursive=True, revision=self._revision, repo_type="dataset"))
        except (RepositoryNotFoundError, RevisionNotFoundError):
            return {}
        self._exists = True
        # The hub adds .gitattributes itself; it is no part of a version.
        return {item.path: int(item.size) for item in tree if hasattr(item, "size") and item.path != ".gitattributes"}

    def read(self, path: str, limit: int) -> bytes:
        """See :class:`Remote`."""
        with tempfile.TemporaryDirectory(prefix="synthloom-hub-") as scratch:
            target = Path(scratch) / "file"
            self.fetch(path, target)
            with target.open("rb") as handle:
                return handle.read(limit)

    def send(self, files: Sequence[tuple[Path, str]], notes: dict[str, bytes]) -> None:
        """See :class:`Remote`."""
        from huggingface_hub import CommitOperationAdd

        adds = [CommitOperationAdd(path_in_repo=path, path_or_fileobj=str(local)) for local, path in files]
        adds += [CommitOperationAdd(path_in_repo=path, path_or_fileobj=data) for path, data in notes.items()]
        self._commit(adds, f"Send {len(adds)} files")

    def remove(self, paths: Sequence[str]) -> None:
        """See :class:`Remote`."""
        from huggingface_hub import CommitOperationDelete

        if paths:
            self._commit([CommitOperationDelete(path_in_repo=path) for path in paths], f"Remove {len(paths)} files")

    def _commit(self, operations: list[Any], message: str) -> None:
        if not self._exists:
            self._api.create_repo(self._repository, repo_type="dataset", private=not self._public, exist_ok=True)
            self._exists = True
        self._api.create_commit(
            self._repository, operations, commit_message=message, repo_type="dataset", revision=self._revision, num_threads=AT_ONCE
        )

    def fetch(self, path: str, target: Path) -> None:
        """See :class:`Remote`."""
        with tempfile.TemporaryDirectory(prefix="synthloom-hub-", dir=target.parent) as scratch:
            got = self._api.hf_hub_download(self._repository, path, repo_type="dataset", revision=self._revision, local_dir=scratch)
            Path(got).replace(target)
