"""Serves the result pages on 127.0.0.1: reports and the index of all runs only, read-only, no symbolic links followed, with range requests.

Run as ``python -m cli.pages DATA_ROOT PORT``; started by ``./run.sh up`` and by every run. ``./run.sh pages`` writes the index anew.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli import services, settings
from core import environments, keys
from core.datasets.naming import PUBLISHED
from core.errors import SynthloomError
from core.places import data_root
from core.run_pages.write import INDEX, write

if TYPE_CHECKING:
    from starlette.applications import Starlette

NAME = "pages"
SERVED = {
    # Every flow's page is made by a stage of such a name; a folder that is still being written has a dot in its name.
    "stages": re.compile(r"report(_\w+)?/[^/.]+(/.*)?"),
    # The decisions about published versions; the versions themselves are not looked at but exported.
    PUBLISHED: re.compile(r"[^/]+/reports(/[\d-]+)?(/index\.html)?"),
    "bench": re.compile(r"(\.|(\./)?index\.html)"),
    # Of the runs' folders only the pages: records and settings stay private.
    "runs": re.compile(r"(\.|index\.html|[^/]+(/index\.html)?)"),
}
"""Folders below the data root, and what of them is served; everything else stays private."""


def application(root: Path) -> Starlette:
    """Return the web application; requests for another host's name are refused, so that no web page can read it by DNS rebinding."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, RedirectResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    def health(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    def first(request: Request) -> RedirectResponse:
        return RedirectResponse(f"/{INDEX}")

    class Pages(StaticFiles):
        def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
            # The path is normalised by now; a folder is found so that its index.html is.
            return super().lookup_path(path) if self.allowed.fullmatch(path) else ("", None)

        def __init__(self, part: str, allowed: re.Pattern[str]) -> None:
            # Not checked at the start: the first report may be made later, and the data may be mounted read-only.
            super().__init__(directory=root / part, html=True, follow_symlink=False, check_dir=False)
            self.allowed = allowed

    mounts = [Mount(f"/{part}", Pages(part, allowed)) for part, allowed in SERVED.items()]
    routes = [Route("/health", health), Route("/", first), *mounts]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])])


def start() -> str:
    """Start the page server, unless it runs, and return its address at once."""
    found = services.running(NAME)
    if found:
        return str(found["url"])
    write(data_root())  # so that there is an index to open before the first run has ended
    port = services.free_port(settings.port("SYNTHLOOM_PAGES_PORT", settings.PAGES_PORT))
    command = [str(environments.python("orchestrator")), "-m", "cli.pages", str(data_root()), str(port)]
    url = f"http://{services.LOOPBACK}:{port}"
    services.launch(NAME, command, {**os.environ, "PYTHONPATH": str(keys.ROOT)}, url=url, port=port)
    return url


def command(words: Sequence[str]) -> int:
    """``./run.sh pages``: write the index of all runs and the runs' pages anew, and say where they are."""
    if words:
        raise SynthloomError(f"not understood: {' '.join(words)}; ./run.sh pages takes nothing")
    written, served = write(data_root(), anew=True), services.running(NAME)
    print(f"index of all runs       {written}")
    print(f"on the page server      {served['url']}/{INDEX}" if served else "./run.sh up serves it, too")
    return 0


def main(root: Path, port: int) -> None:
    """Serve until killed."""
    import uvicorn

    host = os.environ.get("SYNTHLOOM_PAGES_HOST", services.LOOPBACK)  # another one only inside a container, which publishes the port
    uvicorn.run(application(root), host=host, port=port, log_level="warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
