"""The one file of this folder that Airflow's plugin loader runs; see ``plugins/.airflowignore``."""

from airflow.plugins_manager import AirflowPlugin

from interchange.operators.links import StoredFileLink, SurveyLink


class InterchangePlugin(AirflowPlugin):
    """Registers what the package's entry point cannot."""

    name = "interchange"
    operator_extra_links = [StoredFileLink(), SurveyLink()]  # noqa: RUF012  # Airflow's own way to write it
