"""Fixtures of the DAGs' tests."""

from __future__ import annotations

import pytest

from tests.deployment import Deployment


@pytest.fixture
def calm(deployment: Deployment) -> Deployment:
    """The shared deployment with well-behaved vendors and empty journals."""
    deployment.calm_vendors()
    return deployment
