"""Addresses that datasets are sent to and fetched from: any fsspec address, and ``hf://datasets/owner/name`` on a hub.

Standard library only.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from core.errors import InvalidValueError

HUB = "hf"
_ADDRESS = re.compile(r"(?P<protocol>[a-z][a-z0-9+.-]*)://(?P<path>[^\x00-\x1f\x7f\\]*)", re.IGNORECASE)
_HUB_PATH = re.compile(r"datasets/(?P<repository>[\w][\w.-]*/[\w][\w.-]*)(?:@(?P<revision>[\w.-]+))?")
EXAMPLES = "file:///folder, s3://bucket/prefix, hf://datasets/owner/name, or another fsspec address"
ENDPOINTS = ("SYNTHLOOM_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Environment variables that name an S3-compatible server, the first that is set."""


@dataclass(frozen=True)
class Address:
    """Where one version of a dataset lies, or shall lie."""

    protocol: str
    """``file``, ``s3``, ``hf``, …"""
    path: str
    """What follows ``://``, without a slash at the end; for a hub ``owner/name``."""
    revision: str = ""
    """Branch, tag or commit on a hub."""

    @property
    def text(self) -> str:
        """The address as one would type it."""
        if self.protocol == HUB:
            return f"hf://datasets/{self.path}" + (f"@{self.revision}" if self.revision else "")
        return f"{self.protocol}://{self.path}"


def parse(text: str) -> Address:
    """Return an address.

    Raises:
        InvalidValueError: no address, one with a password or a query in it, or a chain of them.
    """
    shown = re.sub(r"//[^/@]*@", "//…@", text.partition("?")[0])[:200]
    found = _ADDRESS.fullmatch(text)
    if not found or not found["path"].strip("/") or "::" in text:
        hint = "a folder of this machine is file:///its/path"
        raise InvalidValueError("no address", where="ADDRESS", allowed=EXAMPLES, received=shown, hint=hint)
    protocol, path = found["protocol"].lower(), found["path"].rstrip("/")
    if protocol == HUB:
        return _on_hub(path, shown)
    if "@" in path.split("/")[0] or "?" in path or "#" in path:
        hint = "credentials come from the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, HF_TOKEN, …"
        raise InvalidValueError("no place for credentials", where="ADDRESS", allowed=EXAMPLES, received=shown, hint=hint)
    if protocol == "file" and not path.startswith("/"):
        hint = f"three slashes: file:///its/path, or file://$PWD/{path}"
        raise InvalidValueError("not absolute", where="ADDRESS", allowed="file:///its/path", received=shown, hint=hint)
    if ".." in path.split("/"):
        raise InvalidValueError("leads upwards", where="ADDRESS", allowed="an address without '..'", received=shown)
    return Address(protocol, path)


def _on_hub(path: str, shown: str) -> Address:
    found = _HUB_PATH.fullmatch(path)
    if not found:
        allowed = "hf://datasets/owner/name, with @revision where wanted"
        raise InvalidValueError("no dataset on a hub", where="ADDRESS", allowed=allowed, received=shown)
    return Address(HUB, found["repository"], found["revision"] or "")


def s3_endpoint() -> str:
    """Return the S3-compatible server that the environment names; empty: Amazon's own."""
    return next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
