"""How the package's pages are made: templates, and errors as pages in words."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import HTTPException, Request
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from interchange.errors import SettingsError, Unavailable

log = logging.getLogger(__name__)

TEMPLATES = Path(__file__).parent / "templates"
MOUNTED_AT = "/interchange"
_MAX_LINE = 80  # characters
_TITLES = {
    HTTPStatus.UNAUTHORIZED: "Please log in",
    HTTPStatus.FORBIDDEN: "Not allowed",
    HTTPStatus.NOT_FOUND: "Not there",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not available now",
}


class Site:
    """The addresses a page leads to, below whatever path Airflow is served at."""

    def __init__(self, request: Request) -> None:
        self.here: str = request.scope.get("root_path", "")
        self.airflow = self.here.removesuffix(MOUNTED_AT)

    def __call__(self, path: str, **query: str) -> str:
        """One of our own addresses; empty values are left out."""
        given = {name: value for name, value in query.items() if value}
        return f"{self.here}{path}" + (f"?{urlencode(given)}" if given else "")

    def run(self, dag_id: str, run_id: str) -> str:
        """A run in Airflow's grid."""
        return f"{self.airflow}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"

    def login(self, back: str) -> str:
        return f"{self.airflow}/api/v2/auth/login?{urlencode({'next': back})}"


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """Fill in a template; a browser's tab of its own gets a way back to Airflow, a frame inside Airflow has it."""
    values["site"] = Site(request)
    values["framed"] = request.headers.get("sec-fetch-dest") == "iframe"
    return HTMLResponse(_environment().get_template(template).render(values), status_code=status)


class PageRoute(APIRoute):
    """A route for people: whoever is not logged in is sent to the log-in, and errors are pages, not JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_for_people(request: Request) -> Response:
            try:
                return await handle(request)
            except HTTPException as exc:
                if exc.status_code == HTTPStatus.UNAUTHORIZED and _may_log_in(request):
                    site = Site(request)
                    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                    return RedirectResponse(site.login(back), status_code=HTTPStatus.SEE_OTHER)
                return _problem(request, exc.status_code, str(exc.detail))
            except Unavailable as exc:
                log.warning("%s", exc)
                return _problem(
                    request, HTTPStatus.SERVICE_UNAVAILABLE, f"{exc.detail}. Try again in a while."
                )
            except SettingsError as exc:
                log.error("%s", exc)
                return _problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, str(exc))

        return handle_for_people


def _may_log_in(request: Request) -> bool:
    """A person with a browser; a program with a token that has run out wants to hear 401."""
    return (
        request.method == "GET"
        and "text/html" in request.headers.get("accept", "")
        and "authorization" not in request.headers
    )


def _problem(request: Request, status: int, words: str) -> Response:
    title = _TITLES.get(HTTPStatus(status), "This did not work")
    return page(request, "problem.html", status=status, title=title, words=words)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: Mapping[str, Callable[..., str]] = {"utc": _utc, "plain": _plain}
    environment.filters.update(filters)
    return environment


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _plain(value: object) -> str:
    """A value of a receipt: text as it is, the rest as JSON, long values on several lines."""
    if isinstance(value, str):
        return value
    line = json.dumps(value, ensure_ascii=False)
    return line if len(line) <= _MAX_LINE else json.dumps(value, indent=2, ensure_ascii=False)
