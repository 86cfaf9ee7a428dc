"""Shared by the stages of SynTone: reads grids of clips and their features, and turns mel power back into sound. Not a stage.

``reading`` and ``features`` need numpy, pandas and pyarrow; ``mel`` and ``inversion`` need torch and torchaudio. Import the module, not
the package (``from tasks.grid.reading import open_grid``): a stage's content key then hangs on the modules it uses and on no others.
"""
