"""
The package's pages, which Airflow's API server mounts at ``/interchange``.

Every component of Airflow and every task loads plugins, but only the API server serves them. So this module imports
nothing that costs time: the application is made when the first request comes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

STATIC = Path(__file__).parent / "static"


class WebApp:
    """An ASGI application that makes the real one when it is first called."""

    def __init__(self) -> None:
        self._made: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._made is None:
            self._made = make_app()
        await self._made(scope, receive, send)


def make_app() -> ASGIApp:
    """Return the application: every page is a router, included here."""
    from fastapi import FastAPI
    from starlette.staticfiles import StaticFiles

    from interchange.web import ledger, mails, roulette, webex_login, webex_receiver
    from interchange.web.guards import SafeHeaders

    app = FastAPI(title="Interchange", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(ledger.router)
    app.include_router(mails.router)
    app.include_router(roulette.router)
    app.include_router(webex_receiver.routes())
    app.include_router(webex_login.router)
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_middleware(SafeHeaders)
    return app


app = WebApp()
