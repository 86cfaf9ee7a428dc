"""Puts train clips of several sources into one manifest, so that any source can feed any trainer."""
