"""What is built once for all tests of this folder that are run in one process."""

import pytest

from tests.deploy.image import built_image


@pytest.fixture(scope="session")
def image():
    """What the Dockerfile makes. Not below /tmp, which in a pod is a volume of its own."""
    with built_image("/var/tmp") as built:  # noqa: S108 - a new folder in it that has a name of its own
        yield built
