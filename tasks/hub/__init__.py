"""Finds models of the Hugging Face hub in the local cache, or fetches them where a network is allowed."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import constants, snapshot_download

from core.errors import InvalidValueError

NAME = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w.-]+)?$")
"""``model`` or ``owner/model``, with ``@revision`` to pin a commit, branch or tag."""


def snapshot(name: str, patterns: list[str], where: str) -> Path:
    """Return the absolute folder of a hub model's files; nothing relative to the working directory is ever looked at.

    Args:
        name: ``owner/model`` or ``owner/model@revision``.
        patterns: the files wanted, as globs.
        where: the field that named it, for the error.

    Raises:
        InvalidValueError: it is neither cached nor to be had; says how to fill the cache.
    """
    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=patterns)).absolute()
    except Exception as error:  # the hub's client raises its own, httpx's and OSError's kinds, depending on what is missing
        hint = (
            f"run `hf download {repository}` once where there is a network, with HF_HOME set to a folder, and set the same HF_HOME here; "
            "for a model that asks to agree to its terms, do so on its page and set HF_TOKEN"
        )
        raise InvalidValueError(
            "model is not in the local hub cache", where=where, allowed=f"a model below {constants.HF_HUB_CACHE}", received=name, hint=hint
        ) from error


def revision_of(folder: Path) -> str:
    """Return the commit that a snapshot's folder belongs to."""
    return folder.name
