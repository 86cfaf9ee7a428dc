"""Clips heard through room impulse responses, written down: first-order Ambisonics with features, or mono copies in rooms."""
