"""A flow of the test stages, built like every other flow: what tests deploy, kill, cancel and schedule."""
