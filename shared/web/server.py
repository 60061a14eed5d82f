"""uvicorn as we run it: its own access log is off, because it writes whole paths, and those hold customers' tokens."""

from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI

from shared.web.proxies import BehindProxies


def make_server(
    app: FastAPI, host: str, port: int, *, trusted_proxies: Sequence[str] = (), grace: int = 20
) -> uvicorn.Server:
    """A server to be awaited with `serve()` and ended with `should_exit = True`; `grace` seconds for open requests."""
    return uvicorn.Server(
        uvicorn.Config(
            BehindProxies(app, trusted_proxies) if trusted_proxies else app,
            host=host,
            port=port,
            loop="none",  # the process has its loop already
            http="httptools",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,  # believed by ourselves, where they may be
            timeout_graceful_shutdown=grace,
            timeout_keep_alive=30,
        )
    )
