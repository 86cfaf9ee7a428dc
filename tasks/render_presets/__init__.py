"""Presets rendered and listened to: preset sets."""
