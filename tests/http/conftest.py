"""Every house of this folder is served by this process alone."""

import pytest


@pytest.fixture(autouse=True)
def alone(heard_soon):
    """So that nobody waits for other processes to hear of something."""
