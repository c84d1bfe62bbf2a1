"""
``python -m include.sandbox``: the vendors in a box, until they are told to stop.

The control interface listens on the base port, the vendors on the ports after it, in an order that does not
depend on which of them run. The exit code is 0 after SIGTERM or Ctrl-C, 1 if a port cannot be opened, 2 for
wrong options.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from include.sandbox.connections import connections
from include.sandbox.control import Control
from include.sandbox.core import Sandbox
from include.sandbox.vendors import VENDORS, vendor_classes

BASE_PORT = 8600


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    names = [name for name in VENDORS if name in options.vendors]
    if unknown := sorted(set(options.vendors) - set(names)):
        parser.error(f"--vendors: no vendors {unknown}; there are {','.join(VENDORS)}")

    sandbox = Sandbox(
        vendor_classes(names),
        folder=options.folder and options.folder.resolve(),
        ports={name: options.port + 1 + number for number, name in enumerate(VENDORS)},
        host=options.host,
        public_host=options.public_host,
    )
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())

    try:
        control = Control(sandbox, port=options.port)
        sandbox.start()
    except OSError as exc:
        print(
            f"{exc.strerror}. Ports {options.port} to {options.port + len(VENDORS)} must be free: "
            "stop what uses them, or choose others with --port.",
            file=sys.stderr,
        )
        return 1
    try:
        if options.write_connections:
            _write_private(options.write_connections, json.dumps(connections(sandbox), indent=2) + "\n")
        control.start()
        print(f"{'control':<10} {control.url}")
        for name in names:
            print(f"{name:<10} {sandbox.url(name)}")
        print(f"{'trust':<10} {sandbox.ca_bundle}", flush=True)
        told_to_stop.wait()
        control.stop()
    finally:
        sandbox.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m include.sandbox", description="Serve the simulated vendors."
    )
    parser.add_argument(
        "--folder", type=Path, help="keep certificates and state here over restarts (default: forget them)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--public-host", metavar="NAME", help="the name clients use, if it differs from --host"
    )
    parser.add_argument(
        "--port",
        type=_base_port,
        default=BASE_PORT,
        help=f"port of the control interface; vendors take the next {len(VENDORS)} (default: %(default)s)",
    )
    parser.add_argument(
        "--vendors",
        type=lambda text: [name.strip() for name in text.split(",") if name.strip()],
        default=list(VENDORS),
        metavar="A,B",
        help=f"only these (default: {','.join(VENDORS)})",
    )
    parser.add_argument(
        "--write-connections",
        type=Path,
        metavar="FILE",
        help="write Airflow connections to the sandbox as JSON, for `airflow connections import`",
    )
    return parser


def _base_port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535 - len(VENDORS):
        raise argparse.ArgumentTypeError(f"must lie between 1 and {65535 - len(VENDORS)}")
    return port


def _write_private(path: Path, text: str) -> None:
    """Passwords are in it, if only the sandbox's."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as target:
        target.write(text)


if __name__ == "__main__":
    sys.exit(main())
