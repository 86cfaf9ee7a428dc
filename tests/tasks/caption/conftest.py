"""A scripted chat server that the environment names, and quick back-off."""

import pytest

from tasks.language_model import client
from tests.tasks.caption.chat_server import serving

KEY = "sk-test-0123456789abcdef"


@pytest.fixture
def chat(monkeypatch):
    """The server; OPENAI_BASE_URL and OPENAI_API_KEY point at it."""
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    with serving() as (server, address):
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield server
