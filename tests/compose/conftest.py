"""Reads docker-compose.yml as Compose does, as far as its file uses the language: merges, variables, environment, commands."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<operator>:?[-?+])(?P<word>[^{}]*))?\})")


def interpolate(text: str, values: Mapping[str, str]) -> str:
    """Fill in ``${NAME}``, ``${NAME:-default}``, ``${NAME:?message}``, ``${NAME:+other}`` and ``$$``.

    Raises:
        LookupError: a variable that must be there is missing; with the file's message.
    """

    def fill(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        value, operator, word = values.get(match["name"]), match["operator"] or "", match["word"] or ""
        there = bool(value) if operator.startswith(":") else value is not None
        if operator.endswith("+"):
            return word if there else ""
        if there:
            return value or ""
        if operator.endswith("?"):
            raise LookupError(word)
        return word

    return VARIABLE.sub(fill, text)


def strings(value: Any, where: str = "") -> list[tuple[str, str]]:
    """Return every text below a parsed YAML value with the path to it."""
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in strings(item, f"{where}.{key}")]
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in strings(item, f"{where}[{index}]")]
    return [(where.lstrip("."), value)] if isinstance(value, str) else []


@dataclass(frozen=True)
class Compose:
    """One compose file, variables still in it."""

    raw: dict[str, Any]
    text: str

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        """The services by name, as written."""
        return dict(self.raw["services"])

    def variables(self) -> dict[str, set[str]]:
        """Return the variables used anywhere, each with the operators it is used with."""
        found: dict[str, set[str]] = {}
        for _, text in strings(self.raw):
            for match in VARIABLE.finditer(text):
                if match["name"]:
                    found.setdefault(match["name"], set()).add(match["operator"] or "")
        return found

    def filled(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Return the file with the variables filled in."""

        def fill(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: fill(item) for key, item in value.items()}
            if isinstance(value, list):
                return [fill(item) for item in value]
            return interpolate(value, values) if isinstance(value, str) else value

        filled: dict[str, Any] = fill(self.raw)
        return filled


@pytest.fixture(scope="session")
def compose() -> Compose:
    """The project's compose file."""
    text = (ROOT / "docker-compose.yml").read_text()
    return Compose(yaml.safe_load(text), text)


@pytest.fixture(scope="session")
def example() -> dict[str, str]:
    """The assignments of .env.example."""
    lines = [line for line in (ROOT / ".env.example").read_text().splitlines() if line.strip() and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="session")
def all_strings() -> Callable[[Any], list[tuple[str, str]]]:
    """:func:`strings`, for the tests."""
    return strings
