"""Trains the two-branch encoder of spatial sound together with its text encoder, on clips convolved with RIRs on the fly."""
