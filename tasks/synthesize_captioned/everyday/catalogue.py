"""All named families, by name."""

from __future__ import annotations

from tasks.synthesize_captioned.everyday import animals, birds, household, humans, machines, water_and_weather
from tasks.synthesize_captioned.everyday.parts import Family

NAMED: dict[str, Family] = {
    **animals.FAMILIES, **birds.FAMILIES, **humans.FAMILIES, **water_and_weather.FAMILIES, **machines.FAMILIES, **household.FAMILIES,
}  # fmt: skip
