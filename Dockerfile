# Airflow with this package: the one image of every component in docker-compose.yaml.
FROM apache/airflow:3.3.2-python3.11

# First the libraries: this layer is built again only when a pin changes. The base image's own user (airflow, not
# root) installs and runs everything.
COPY --chown=airflow:0 requirements.txt constraints.txt /opt/airflow/
RUN pip install --no-cache-dir --requirement /opt/airflow/requirements.txt --constraint /opt/airflow/constraints.txt

# The package in editable form: Airflow finds its entry point (connection types, forms, links), and there is only
# one copy of it, the one below plugins/.
COPY --chown=airflow:0 pyproject.toml README.md /opt/airflow/
COPY --chown=airflow:0 plugins /opt/airflow/plugins
RUN pip install --no-cache-dir --no-deps --editable /opt/airflow

COPY --chown=airflow:0 include /opt/airflow/include
COPY --chown=airflow:0 dags /opt/airflow/dags

# `include` is imported from here. New volumes take over owner and mode of these folders.
ENV PYTHONPATH=/opt/airflow
RUN mkdir --mode=0770 /opt/airflow/auth /opt/airflow/sandbox
