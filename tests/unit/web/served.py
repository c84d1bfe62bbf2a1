"""The web app on a real port, as Airflow's API server serves it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from airflow.api_fastapi.auth.middlewares.refresh_token import JWTRefreshMiddleware
from fastapi import FastAPI

from interchange.web.app import WebApp


@contextmanager
def served(app: FastAPI | None = None) -> Iterator[str]:
    """The server's address, while the block runs."""
    if app is None:
        app = FastAPI()
        app.mount("/interchange", WebApp())
        app.add_middleware(JWTRefreshMiddleware)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    # Connections are taken from here on, and wait until the server is ready.
    listener.listen(64)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listener.close()
