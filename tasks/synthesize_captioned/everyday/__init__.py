"""Procedural models of named everyday sounds: what words such as dog, rain or helicopter sound like, from acoustics instead of recordings.

The models follow Farnell, "Designing Sound" (2010); van den Doel & Pai, modal synthesis (1998), and van den Doel, liquid sounds
(2005); and what bioacoustics measured of each voice. Every clip is another animal, machine or room.
"""
