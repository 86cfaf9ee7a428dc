"""The index of all runs and a page for each: ``<data root>/runs/index.html`` and ``runs/<run id>/index.html``, written after every run."""
