"""Synthesisers played from presets: back ends behind one interface, and a pool of supervised processes that plug-ins run in.

``pool.Pool`` renders; ``repeatability.probe`` tells whether a plug-in plays the same preset the same way. See docs/renderer.md.
"""
