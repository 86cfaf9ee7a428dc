"""Synthio (ICLR 2025): synthetic audio for small labelled sets, filtered, and measured against the gold clips alone."""
