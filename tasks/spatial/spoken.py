"""What a dry clip is called in captions."""

from __future__ import annotations

SPOKEN = {
    "baby_cry": "a baby crying", "chainsaw": "a chainsaw running", "clock_tick": "a clock ticking", "dog_bark": "a dog barking",
    "fire_crackling": "a fire crackling", "helicopter": "a helicopter flying", "person_sneeze": "a person sneezing",
    "rain": "rain falling", "rooster": "a rooster crowing", "sea_waves": "sea waves breaking", "crying_baby": "a baby crying",
    "dog": "a dog barking", "crackling_fire": "a fire crackling", "sneezing": "a person sneezing",
}  # fmt: skip
"""Labels of ESC-10 in words; other labels are spoken as they are written."""


def spoken(label: str, caption: str = "") -> str:
    """Return what a clip is called: its caption, or else its label in words."""
    return caption or SPOKEN.get(label, "the sound of " + label.replace("_", " "))
