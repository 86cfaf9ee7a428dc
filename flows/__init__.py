"""The flows: which stage follows which, what runs at the same time, what is reported. ``graph.py`` modules work without Prefect."""
