"""Datasets outside the store: written in the forms other tools open, frozen as versions, compared, verified, sent and fetched."""
