"""
S3, Google Cloud Storage and Azure Blob on this machine: the real emulators, one process each.

    with S3() as s3:
        s3.create_bucket("exports")
        os.environ |= s3.environment()
        s3.connection()          # Airflow connection, for aws_default

None of them checks everything its original does: moto takes wrong checksums and any credentials, the GCS
emulator ignores preconditions and has no authentication. Azurite checks signatures and preconditions.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import httpx

from tools.processes import Guarded, ProcessError, free_ports, port_is_free

HOST = "127.0.0.1"
# Azurite's first start after its installation takes ten seconds, on a busy machine more.
READY_WITHIN_S = 60.0
POLL_S = 0.02
# Chosen ports are not reserved: somebody else may take one before the emulator listens.
ATTEMPTS = 3


class Emulator(ABC):
    """
    One emulator process, started on entering and stopped, with all its children, on leaving the context.

    :param port: where to listen; None: a free port.
    :param log: file for its output; None: a temporary one.
    """

    name: ClassVar[str]
    ready_path: ClassVar[str] = "/"
    """Answers, with whatever status, once requests are served."""

    def __init__(self, *, port: int | None = None, log: Path | None = None) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix=f"{self.name}-")
        self._log = log or Path(self._scratch.name) / f"{self.name}.log"
        self._wanted_port = port
        self.port = port or 0
        self._process: Guarded | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The session all its processes belong to."""
        if self._process is None:
            raise ValueError(f"{self.name} is not running")
        return self._process.session

    def start(self) -> None:
        """
        Start the emulator and wait until it answers.

        :raises ProcessError: it ends instead, or does not answer in time; the text contains its last output.
        """
        if self._wanted_port and not port_is_free(self._wanted_port, HOST):
            raise ProcessError(f"{self.name} cannot listen: port {self._wanted_port} is taken")
        for attempt in range(1, ATTEMPTS + 1):
            self.port = self._wanted_port or free_ports(1)[0]
            self._process = Guarded(self.name, self._command(), env=_clean_environment(), log=self._log)
            try:
                self._wait_until_ready(self._process)
                return
            except ProcessError:
                self.stop()
                if self._wanted_port or attempt == ATTEMPTS:
                    raise

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _wait_until_ready(self, process: Guarded) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        with httpx.Client(trust_env=False, timeout=5) as client:
            while True:
                if process.poll() is not None:
                    raise ProcessError(f"{self.name} ended instead of starting\n{process.tail()}")
                try:
                    client.get(self.url + self.ready_path)
                    return
                except httpx.TransportError:
                    if time.monotonic() > deadline:
                        raise ProcessError(f"{self.name} does not answer\n{process.tail()}") from None
                    time.sleep(POLL_S)

    @abstractmethod
    def _command(self) -> list[str | Path]:
        """What to run."""

    @abstractmethod
    def connection(self) -> dict[str, Any]:
        """The Airflow connection to it, as ``airflow connections import`` takes it."""

    def environment(self) -> dict[str, str]:
        """Variables that the vendor's client libraries need besides the connection."""
        return {}

    @abstractmethod
    def create_bucket(self, name: str) -> None:
        """Create a bucket, or container: 3 to 63 lower-case characters."""


class S3(Emulator):
    """S3 (and SQS, DynamoDB): moto's server. State lives in memory."""

    name = "moto"
    ready_path = "/moto-api/"
    region = "eu-central-1"

    def _command(self) -> list[str | Path]:
        return [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(self.port)]

    def connection(self) -> dict[str, Any]:
        return {
            "conn_type": "aws",
            "login": "sandbox",
            "password": "sandbox",
            "extra": {"endpoint_url": self.url, "region_name": self.region},
        }

    def environment(self) -> dict[str, str]:
        # Nothing may look for credentials at the cloud's own address.
        return {"AWS_EC2_METADATA_DISABLED": "true"}

    def create_bucket(self, name: str) -> None:
        body = (
            "<CreateBucketConfiguration>"
            f"<LocationConstraint>{self.region}</LocationConstraint></CreateBucketConfiguration>"
        )
        httpx.put(f"{self.url}/{name}", content=body, trust_env=False).raise_for_status()


class Gcs(Emulator):
    """Google Cloud Storage: gcp-storage-emulator. State lives in memory."""

    name = "gcs"
    project = "sandbox"

    def _command(self) -> list[str | Path]:
        program = Path(sys.executable).parent / "gcp-storage-emulator"
        return [program, "start", f"--host={HOST}", f"--port={self.port}", "--in-memory"]

    def connection(self) -> dict[str, Any]:
        return {
            "conn_type": "google_cloud_platform",
            "extra": {"is_anonymous": True, "project": self.project, "gcs.endpoint": self.url},
        }

    def environment(self) -> dict[str, str]:
        return {
            "STORAGE_EMULATOR_HOST": self.url,
            "NO_GCE_CHECK": "true",
            # gcsfs asks by gRPC for the kind of bucket, in vain here, for a minute.
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }

    def create_bucket(self, name: str) -> None:
        httpx.post(
            f"{self.url}/storage/v1/b", params={"project": self.project}, json={"name": name}, trust_env=False
        ).raise_for_status()


class AzureBlob(Emulator):
    """
    Azure Blob: Azurite, a Node program.

    It is looked for at ``INTERCHANGE_AZURITE`` (the path of its ``azurite-blob``), then in this environment,
    where ``make setup`` puts it. Node comes with the environment as a package.
    """

    name = "azurite"
    account = "devstoreaccount1"
    # Published with the emulator, the same everywhere.
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def _command(self) -> list[str | Path]:
        program = Path(
            os.environ.get("INTERCHANGE_AZURITE")
            or Path(sys.prefix) / "emulators" / "node_modules" / ".bin" / "azurite-blob"
        )
        if not program.exists():
            raise ProcessError(f"Azurite is not at {program}: run `make setup`, or set INTERCHANGE_AZURITE")
        return [
            Path(sys.executable).parent / "node", program,
            "--blobHost", HOST, "--blobPort", str(self.port), "--inMemoryPersistence",
            # The client library is newer than the emulator and announces a version that it does not know.
            "--skipApiVersionCheck", "--silent", "--disableTelemetry",
        ]  # fmt: skip

    @property
    def connection_string(self) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.account};AccountKey={self.key};"
            f"BlobEndpoint={self.url}/{self.account};"
        )

    def connection(self) -> dict[str, Any]:
        return {"conn_type": "wasb", "extra": {"connection_string": self.connection_string}}

    def create_bucket(self, name: str) -> None:
        from azure.storage.blob import BlobServiceClient

        with BlobServiceClient.from_connection_string(self.connection_string) as client:
            client.create_container(name)


def _clean_environment() -> dict[str, str]:
    """Ours, without what would send an emulator, or its client, to a real cloud or through a proxy."""
    unwanted = ("AWS_", "GOOGLE_", "AZURE_")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(unwanted) and not name.lower().endswith("_proxy")
    }
