"""
Where this deployment's ledger is: Airflow's connection, configuration and Fernet key.

The only module of the ledger that knows Airflow, and it loads Airflow only when called.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from interchange.errors import SettingsError, Unavailable
from interchange.ledger.database import database_url, make_engine
from interchange.ledger.keys import keyed_hash
from interchange.ledger.model import Cipher
from interchange.ledger.store import Ledger

CONN_ID = "interchange_db"
FILE_NAME = "interchange.db"
# Executors whose tasks all run on the scheduler's machine and so see one SQLite file.
_ONE_MACHINE = {"LocalExecutor", "SequentialExecutor", "InProcessExecutor"}
# PostgreSQL's own connection parameters that a connection's extra may set.
_LIBPQ = {
    "connect_timeout",
    "application_name",
    "gssencmode",
    "host",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "options",
    "service",
    "sslcert",
    "sslcrl",
    "sslkey",
    "sslmode",
    "sslpassword",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
}
# What Airflow's task SDK returns where no key is configured: the default's template, not filled in.
_NO_FERNET_KEY = "{FERNET_KEY}"
_engines: dict[str, Engine] = {}


def open_ledger(*, owner: str) -> Ledger:
    """
    Open this deployment's ledger, migrating its database if needed.

    It is where connection ``interchange_db`` says (SQLite or PostgreSQL); if Airflow has no such connection,
    the SQLite file ``interchange.db`` in ``AIRFLOW_HOME``. The engine is shared by all ledgers of a process.

    :param owner: see :class:`~interchange.ledger.Ledger`.
    :raises SettingsError: the connection cannot be used; SQLite with an executor whose tasks run on several
        machines; Airflow's own database; another Fernet key than the one this ledger's keys were made with.
    :raises Unavailable: the database, or Airflow when asked for the connection, cannot be reached.
    """
    url = ledger_url()
    ledger = Ledger(_engine(url), owner=owner, cipher=_cipher())
    if fernet_keys() and not ledger.pin("keyed_hash", keyed_hash("interchange")):
        raise SettingsError(
            "The Fernet key is not the one this ledger's keys were made with: effects that concern people "
            "would look new and be done again. Put the former key back as the last of [core] fernet_key: "
            "'new,former'."
        )
    return ledger


def ledger_url() -> URL:
    """
    Return where the ledger is. Its text form hides the password.

    :raises SettingsError, Unavailable: as :func:`open_ledger`.
    """
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        connection = BaseHook.get_connection(CONN_ID)
    except AirflowNotFoundException:
        _make_sure_it_is_absent()
        url = _sqlite(_airflow_home() / FILE_NAME)
    else:
        url = _connection_url(connection)
    _refuse_unsuitable(url)
    return url


def fernet_keys() -> list[str]:
    """Return Airflow's Fernet keys, the newest first; none if it encrypts nothing."""
    configured = _configuration("core", "fernet_key")
    if configured == _NO_FERNET_KEY:
        return []
    return [key.strip() for key in configured.split(",") if key.strip()]


def _cipher() -> Cipher | None:
    from airflow.sdk.crypto import get_fernet
    from airflow.sdk.exceptions import AirflowException

    if not fernet_keys():
        return None
    try:
        fernet = get_fernet()
    except AirflowException as exc:
        raise SettingsError("[core] fernet_key is not a Fernet key: 32 bytes in URL-safe base64.") from exc
    # Without a key Airflow hands out one that encrypts nothing; secrets would lie in clear.
    return fernet if fernet.is_encrypted else None


def _engine(url: URL) -> Engine:
    name = url.render_as_string(hide_password=False)
    # Without a lock, which a fork could inherit taken: two threads at once make one engine too many, no harm.
    return _engines.get(name) or _engines.setdefault(name, make_engine(url))


def _make_sure_it_is_absent() -> None:
    """
    Ask again so that an error is an error.

    Airflow says "not defined" as well when the API server or a secrets backend did not answer. Falling back
    to another ledger then would forget everything that was done.

    :raises Unavailable: it cannot be said.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection
    from airflow.sdk.execution_time.secrets.execution_api import ExecutionAPISecretsBackend
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    for backend in ensure_secrets_backend_loaded():
        try:
            if isinstance(backend, ExecutionAPISecretsBackend):
                # This one swallows every error itself.
                answer = task_runner.SUPERVISOR_COMMS.send(GetConnection(conn_id=CONN_ID))
                if isinstance(answer, ErrorResponse):
                    raise AirflowRuntimeError(answer)
            else:
                answer = backend.get_connection(conn_id=CONN_ID)
        except AirflowRuntimeError as exc:
            if exc.error.error == ErrorType.CONNECTION_NOT_FOUND:
                continue
            raise _cannot_say() from exc
        except Exception as exc:
            # A secrets backend may be anybody's code and raise anything.
            raise _cannot_say() from exc
        if answer is not None:
            raise _cannot_say()


def _cannot_say() -> Unavailable:
    return Unavailable(
        "ledger.open",
        f"Airflow could not say whether connection {CONN_ID} exists; no other ledger is used instead",
    )


def _connection_url(connection: Any) -> URL:
    extra: dict[str, Any] = connection.extra_dejson
    if connection.conn_type == "sqlite":
        named = extra.get("path") or "/".join(part for part in (connection.host, connection.schema) if part)
        if not named:
            raise SettingsError(
                f"Connection {CONN_ID}: of type sqlite, but no file is named in host, schema or path."
            )
        return _sqlite(_airflow_home() / named)
    if connection.conn_type.partition("+")[0] in ("postgres", "postgresql"):
        host = connection.host or None
        query = {name: str(value) for name, value in extra.items() if name in _LIBPQ}
        if host and host.startswith("/"):
            # A socket's directory.
            query["host"], host = host, None
        return database_url(
            URL.create(
                "postgresql",
                username=connection.login or None,
                password=connection.password or None,
                host=host,
                port=connection.port or None,
                database=connection.schema or None,
                query=query,
            )
        )
    raise SettingsError(
        f"Connection {CONN_ID}: type {connection.conn_type!r}; the ledger needs sqlite or postgres."
    )


def _sqlite(path: Path) -> URL:
    return database_url(URL.create("sqlite", database=str(path)))


def _refuse_unsuitable(url: URL) -> None:
    """
    :raises SettingsError: SQLite with a distributed executor, or Airflow's own database.
    """
    if url.get_backend_name() == "sqlite":
        distributed = _executors() - _ONE_MACHINE
        if os.environ.get("AIRFLOW_IS_K8S_EXECUTOR_POD"):
            # In a pod the configured executor is the one inside the pod.
            distributed.add("KubernetesExecutor")
        if distributed:
            raise SettingsError(
                f"The ledger is the SQLite file {url.database}, but {', '.join(sorted(distributed))} runs "
                "tasks on several machines: each would have a ledger of its own, which is none. Define "
                f"connection {CONN_ID} of type postgres, such as "
                "AIRFLOW_CONN_INTERCHANGE_DB=postgres://user:password@host:5432/interchange"
            )
    configured = _configuration("database", "sql_alchemy_conn")
    if configured and _place(url) == _place(_parsed(configured)):
        raise SettingsError(
            f"Connection {CONN_ID} leads to Airflow's own metadata database: give the ledger one of its own."
        )


def _executors() -> set[str]:
    """The class names in ``[core] executor``: ``team=alias:module.Class,Class;…`` is all allowed there."""
    names = re.split(r"[,;]", _configuration("core", "executor"))
    return {re.split(r"[=:.]", name.strip())[-1] for name in names if name.strip()}


def _parsed(configured: str) -> URL | None:
    try:
        return make_url(configured)
    except ArgumentError:
        # A worker may be given a placeholder instead of Airflow's database.
        return None


def _place(url: URL | None) -> tuple[object, ...] | None:
    if url is None:
        return None
    if url.get_backend_name() == "sqlite":
        return ("sqlite", Path(url.database or "").resolve())
    host = url.host or url.query.get("host") or "localhost"
    return (url.get_backend_name(), host, url.port or 5432, url.database or url.username)


def _configuration(section: str, name: str) -> str:
    from airflow.sdk.configuration import conf

    return str(conf.get(section, name, fallback="") or "")


def _airflow_home() -> Path:
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser().resolve()
