"""The presets that an evaluation lists, played."""
