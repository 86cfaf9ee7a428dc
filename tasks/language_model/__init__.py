"""Shared room: writes captions, by a grammar that needs no service or by any server that speaks the OpenAI chat protocol."""
