"""Airflow's whole database, and a DAG in it that runs can be started of."""

from __future__ import annotations

from airflow import settings
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.sdk import DAG
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.db import synchronize_log_template
from airflow.utils.session import create_session

BUNDLE = "tests"


def make_all() -> None:
    import_all_models()
    Base.metadata.create_all(settings.engine)
    synchronize_log_template()


def drop_all() -> None:
    settings.engine.dispose()
    Base.metadata.drop_all(settings.engine)


def empty_all() -> None:
    """Much faster than making them anew."""
    with settings.engine.begin() as connection:
        # Only of this transaction: the tables lead to each other in circles.
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        for table in Base.metadata.tables.values():
            connection.execute(table.delete())
    synchronize_log_template()


def know_dag(dag_id: str) -> None:
    """As if the DAG processor had just read its file."""
    with DAG(dag_id, schedule=None) as dag:
        pass
    read = LazyDeserializedDAG.from_dag(dag)
    with create_session() as session:
        session.merge(DagBundleModel(name=BUNDLE))
        session.flush()
        SerializedDAG.bulk_write_to_db(BUNDLE, None, [read], session=session)
        SerializedDagModel.write_dag(read, bundle_name=BUNDLE, session=session)


def runs_of(dag_id: str) -> dict[str, object]:
    """Each run's conf, by its id."""
    with create_session() as session:
        found = session.query(DagRun).filter(DagRun.dag_id == dag_id)
        return {run.run_id: run.conf for run in found}
