"""Scores generated clips against their label's text and keeps those that sound like it."""
