"""Keeps published datasets fresh: runs what has become stale, publishes a new version when something changed."""
