"""Searches, by short trainings that validation clips judge, how an arm mixes its sources and how strictly its clips are filtered."""
