"""Mel pictures without axes, pixel by pixel: strips of tiles for pages, and animations, all in one palette."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from core import atomic

LEVELS, GREYS = 240, 16
"""Entries of the palette for mel power, and for words and the ground they stand on, from dark to white."""
DARK, WHITE = 27, 235
"""Grey of the ground and of words, of 255."""
TILE = (128, 224)
"""Width and height of a tile in an animation, at least."""
LINE = 22
"""Height of a line of words above an animation."""
Array = npt.NDArray[np.float32]


def palette() -> bytes:
    """Return 256 colours, three bytes each."""
    colours = mpl.colormaps["magma"](np.linspace(0, 1, LEVELS))[:, :3]
    greys = np.repeat(np.linspace(DARK, WHITE, GREYS)[:, None] / 255, 3, axis=1)
    return np.round(255 * np.concatenate([colours, greys])).astype(np.uint8).tobytes()


def indices(levels_db: Array, top_db: float, range_db: float) -> npt.NDArray[np.uint8]:
    """Return palette entries of mel power in dB [..., mels, frames], turned so that high bands are above."""
    share = np.clip((levels_db - (top_db - range_db)) / range_db, 0, 1)
    return np.round(share * (LEVELS - 1)).astype(np.uint8)[..., ::-1, :]


def write_strip(path: Path, tiles: npt.NDArray[np.uint8]) -> None:
    """Write tiles [tiles, mels, frames] side by side without gaps as a PNG, so that a page can cut it apart again."""
    with atomic.replacing(path) as temporary:
        _image(np.concatenate(list(tiles), axis=1)).save(temporary, format="PNG", optimize=True)


def write_animation(path: Path, frames: Sequence[npt.NDArray[np.uint8]], captions: Sequence[str], frame_ms: int) -> None:
    """Write an animated GIF that repeats for ever.

    Args:
        path: the file.
        frames: each [tiles, mels, frames]: tiles stand side by side.
        captions: words above each frame, as many lines in each; long lines are made smaller.
        frame_ms: how long a frame is shown.
    """
    pictures = [_frame(tiles, caption) for tiles, caption in zip(frames, captions, strict=True)]
    with atomic.replacing(path) as temporary:  # undithered and with one palette for all frames, so that colours stay comparable
        pictures[0].save(
            temporary, format="GIF", save_all=True, append_images=pictures[1:], duration=frame_ms, loop=0, optimize=False, disposal=1
        )


def _image(entries: npt.NDArray[np.uint8]) -> Image.Image:
    made = Image.frombytes("P", entries.shape[::-1], np.ascontiguousarray(entries).tobytes())
    made.putpalette(palette())
    return made


def _frame(tiles: npt.NDArray[np.uint8], caption: str) -> Image.Image:
    """Enlarge tiles by whole factors, put them side by side and write lines above them."""
    count, mels, frames = tiles.shape
    across, down = -(-TILE[0] // frames), -(-TILE[1] // mels)
    grown = tiles.repeat(down, axis=1).repeat(across, axis=2)
    lines = caption.split("\n")
    top, step = LINE * len(lines), grown.shape[2] + 2
    canvas = np.full((top + grown.shape[1], count * step - 2), LEVELS, dtype=np.uint8)
    for number, tile in enumerate(grown):
        canvas[top:, number * step : number * step + step - 2] = tile
    for number, line in enumerate(lines):
        canvas[number * LINE : (number + 1) * LINE] += _words(line, canvas.shape[1])
    return _image(canvas)


def _words(text: str, width: int) -> npt.NDArray[np.uint8]:
    """Return greys 0 … 15 of one line of text [LINE, width], made smaller until it fits."""
    path = Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"  # comes with matplotlib: the same on every machine
    for size in range(13, 6, -1):
        font = ImageFont.truetype(str(path), size)
        if font.getlength(text) <= width - 8:
            break
    line = Image.new("L", (width, LINE), 0)
    ImageDraw.Draw(line).text((4, LINE // 2), text, fill=255, font=font, anchor="lm")
    return (np.asarray(line) // (256 // GREYS)).astype(np.uint8)
