"""Reads the fenced blocks of a page, and the mark above each: an HTML comment that says how the block is held to be true."""

import re
from dataclasses import dataclass

MARK = re.compile(r"<!-- (?P<kind>runs|plans|elsewhere|file)(?:: (?P<what>\S+))? -->")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    line: int
    kind: str
    what: str
    text: str


def blocks(path):
    """Return a page's blocks in order.

    Raises:
        ValueError: a block without a mark, or a mark without a block.
    """
    found, mark, opened, inside = [], None, 0, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if opened:
            if line.strip() != "```":
                inside.append(line)
                continue
            found.append(Block(opened, mark["kind"], mark["what"] or "", "\n".join(inside) + "\n"))
            opened, mark, inside = 0, None, []
        elif line.startswith("```"):
            if mark is None:
                raise ValueError(f"{path.name}, line {number}: a block without a mark; write <!-- runs --> or another one above it")
            opened = number
        elif line.strip():
            if mark is not None:
                raise ValueError(f"{path.name}, line {number}: a mark without a block")
            mark = MARK.fullmatch(line.strip())
    return found
