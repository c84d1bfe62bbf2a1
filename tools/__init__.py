"""Commands for people who work on this project: set-up, demo, a real Airflow on this machine."""
