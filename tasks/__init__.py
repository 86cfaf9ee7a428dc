"""The stages: the work itself, one folder each, run in the stage environments. Nothing in here imports Prefect.

Folders named in ``SYNTHLOOM_STAGES`` (separated like PATH) hold further stages, so that one's own need not live in this checkout.
"""

import os

__path__ = [*(part for part in os.environ.get("SYNTHLOOM_STAGES", "").split(os.pathsep) if part), *__path__]
