"""Serves the result pages on 127.0.0.1: reports only, read-only, no symbolic links followed, with range requests so that players can seek.

Run as ``python -m cli.pages DATA_ROOT PORT``; started by ``./run.sh up`` and by every run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cli import services, settings
from core import environments, keys
from core.places import data_root

if TYPE_CHECKING:
    from starlette.applications import Starlette

NAME = "pages"
SERVED = ("stages/report",)
"""Folders below the data root that are served; everything else of it stays private."""


def application(root: Path) -> Starlette:
    """Return the web application; requests for another host's name are refused, so that no web page can read it by DNS rebinding."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    def health(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    # Not checked at the start: the first report may be made later, and the data may be mounted read-only.
    folders = {part: StaticFiles(directory=root / part, html=True, follow_symlink=False, check_dir=False) for part in SERVED}
    routes = [Route("/health", health), *(Mount(f"/{part}", files) for part, files in folders.items())]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])])


def start() -> str:
    """Start the page server, unless it runs, and return its address at once."""
    found = services.running(NAME)
    if found:
        return str(found["url"])
    for part in SERVED:
        (data_root() / part).mkdir(parents=True, exist_ok=True)
    port = services.free_port(int(os.environ.get("SYNTHLOOM_PAGES_PORT", settings.PAGES_PORT)))
    command = [str(environments.python("orchestrator")), "-m", "cli.pages", str(data_root()), str(port)]
    url = f"http://{services.LOOPBACK}:{port}"
    services.launch(NAME, command, {**os.environ, "PYTHONPATH": str(keys.ROOT)}, url=url, port=port)
    return url


def main(root: Path, port: int) -> None:
    """Serve until killed."""
    import uvicorn

    host = os.environ.get("SYNTHLOOM_PAGES_HOST", services.LOOPBACK)  # another one only inside a container, which publishes the port
    uvicorn.run(application(root), host=host, port=port, log_level="warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
