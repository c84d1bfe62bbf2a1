"""
The list of workflows in README.md, written from the DAG files' own pages.

``python -m tools.readme`` writes it; with ``--check`` it only says, by its exit code, whether it is up to date. A DAG
file's docstring begins with ``### Title`` and one sentence; a line ``* **Reads** … **Writes** …`` gives the other
columns.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BEGIN = "<!-- Written by `python -m tools.readme` from the DAG files: change those. -->"
END = "<!-- End of the written part. -->"
_PAGE = re.compile(r"### [^\n]+\n+(?P<first>.+?)(?:\n\n|\Z)", re.DOTALL)
_ENDS = re.compile(
    r"^\* \*\*Reads\*\* (?P<reads>.+?)\s+\*\*Writes\*\* (?P<writes>.+?)(?=\n\* |\n\n|\Z)",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a DAG file says of itself, in Markdown on one line each."""

    dag_id: str
    does: str
    reads: str
    writes: str


def page_of(file: Path) -> Page:
    """
    The page of one DAG file, read without importing it.

    :raises ValueError: its docstring is not of the form above.
    """
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    first, ends = _PAGE.match(text), _ENDS.search(text)
    if first is None or ends is None:
        raise ValueError(
            f"{file}: the docstring needs '### Title', a sentence, and '* **Reads** … **Writes** …'"
        )
    return Page(
        dag_id=file.stem,
        does=_line(first["first"]),
        reads=_line(ends["reads"]).rstrip("."),
        writes=_line(ends["writes"]).rstrip("."),
    )


def block(folder: Path) -> str:
    """The list of all DAG files in a folder, with the comments around it."""
    rows = ["| workflow | what it does | from | to |", "|---|---|---|---|"]
    for file in sorted(folder.glob("*.py")):
        page = page_of(file)
        runbook = f"docs/runbooks/{page.dag_id}.md"
        rows.append(f"| [`{page.dag_id}`]({runbook}) | {page.does} | {page.reads} | {page.writes} |")
    return "\n".join([BEGIN, "", *rows, "", END])


def renewed(text: str, made: str) -> str:
    """
    The README with its list replaced.

    :raises ValueError: it has no place for the list.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README.md needs the lines {BEGIN!r} and {END!r}")
    return before + made + after


def _line(text: str) -> str:
    return " ".join(text.split())


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check; 1 if ``--check`` finds an old list."""
    parser = argparse.ArgumentParser(prog="python -m tools.readme", description=__doc__.splitlines()[1])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 if README.md is out of date"
    )
    given = parser.parse_args(arguments)
    now = README.read_text()
    then = renewed(now, block(ROOT / "dags"))
    if given.check:
        return int(now != then)
    README.write_text(then)
    return 0


if __name__ == "__main__":
    sys.exit(main())
