"""Decisions: data in, data out. Nothing here knows Airflow or HTTP, reads a clock or draws a random
number."""
