"""
Typed, validated settings of every workflow.

A workflow's settings are the Airflow Variable ``interchange_<dag_id>`` (JSON) if it exists, else the file
``include/config/<dag_id>.yaml``. :func:`load_settings` reads them at the start of a run and names everything
that is wrong at once. What the DAG needs while Airflow parses it (schedule, on or off) is read by
:func:`parse_time_settings` from the file or the environment only, never from a Variable.

To add a workflow: write its models in a module of this package with a class named ``Settings``, and name it
in
:data:`interchange.settings.workflows.WORKFLOWS`; then run ``python -m interchange.settings.generate``.
"""

from interchange.settings.loading import load_settings
from interchange.settings.parse_time import ParseSettings, parse_time_settings

__all__ = ["ParseSettings", "load_settings", "parse_time_settings"]
