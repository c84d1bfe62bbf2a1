"""One Airflow home for demo and tests: its folders, its secrets, and the environment its components share."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from tools.processes import LOCALHOST

ROOT = Path(__file__).resolve().parent.parent
# Settings of another Airflow on this machine must not reach ours: a stray AIRFLOW__DATABASE__SQL_ALCHEMY_CONN
# would quietly work on that one's database. Vendor SDKs and REQUESTS_CA_BUNDLE keep the user's settings.
FOREIGN = re.compile(r"^_?AIRFLOW_")


class AirflowHome:
    """
    A folder that serves as ``AIRFLOW_HOME``; made on first use, reused afterwards.

    :param folder: where it lies. It holds keys and passwords and is readable by its owner only.
    :param dags_folder: where the DAG files are.
    :param users: name to role (viewer, user, op, admin); each one's password is its name. The API server
        listens on this machine only.
    """

    def __init__(self, folder: Path, *, dags_folder: Path, users: Mapping[str, str]) -> None:
        self.folder = folder.resolve()
        self.dags_folder = dags_folder.resolve()
        self.users = dict(users)

    @property
    def database(self) -> Path:
        """Airflow's own database, SQLite."""
        return self.folder / "airflow.db"

    @property
    def saved_environment(self) -> Path:
        """The variables the components were last started with, for commands beside them."""
        return self.folder / "environment.json"

    def prepare(self) -> None:
        """Make the folder, the keys (once) and the password file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        if not self._keys.exists():
            fernet_key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
            keys = {
                "AIRFLOW__CORE__FERNET_KEY": fernet_key,
                "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
                "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(64),
            }
            write_private(self._keys, json.dumps(keys))
        write_private(self._passwords, json.dumps({name: name for name in self.users}))

    def settings(self, *, api_port: int, log_ports: tuple[int, int], parallelism: int) -> dict[str, str]:
        """
        What the components of this home need to know.

        :param log_ports: where scheduler and triggerer serve the logs of running tasks.
        :param parallelism: how many tasks run at once; each is a process.
        """
        api_url = f"http://{LOCALHOST}:{api_port}"
        settings = {
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags_folder),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(parallelism),
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{u}:{r}" for u, r in self.users.items()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self._passwords),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{api_url}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "tools.sqlite_arguments.ARGUMENTS",
            # A kept connection may hold on to an old view of an SQLite file: the page then misses what was just done.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_ENABLED": "False",
            "AIRFLOW__API__HOST": LOCALHOST,
            "AIRFLOW__API__PORT": str(api_port),
            "AIRFLOW__API__BASE_URL": api_url,
            # An answer then says that it was only SQLite's lock, and the call is made again (tools.airflow_client).
            "AIRFLOW__API__EXPOSE_STACKTRACE": "True",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.folder / "logs"),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_ports[0]),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_ports[1]),
            # Airflow's defaults suit a cluster; a person who waits for five small tasks notices each pause.
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            # A task whose process was killed is noticed after a minute, not after five.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            # `include.sandbox` and `tools` from the root; `interchange` even where it is not installed.
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
        }
        return {**settings, **json.loads(self._keys.read_text())}

    @property
    def _keys(self) -> Path:
        return self.folder / "keys.json"

    @property
    def _passwords(self) -> Path:
        return self.folder / "passwords.json"


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The user's environment without anything of another Airflow, and with ``settings``."""
    inherited = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
    # Components talk to each other over this machine's own addresses, which a proxy cannot reach.
    for name in ("NO_PROXY", "no_proxy"):
        inherited[name] = ",".join(filter(None, [inherited.get(name), LOCALHOST, "localhost"]))
    # Programs that came with the packages (airflow, node) are found by tasks, too.
    inherited["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)])
    return {**inherited, **settings}


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner may read it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)
