"""One house for many tests: opened once in a session, left standing, every test in rooms of its own.

Opening a house costs seconds, most tests of the contract only ask questions. Whoever breaks something (a database, a
key service, the clock) opens one of his own or puts it back.
"""

import contextlib
import itertools
from dataclasses import dataclass

import psycopg
import pytest

from tests.house import House, Voice, furnish, opened, partner_admin
from tests.servers import fresh_database

_numbers = itertools.count(1)


@dataclass
class Standing:
    house: House
    ada: Voice
    bob: Voice
    pat: Voice
    database_url: str
    redis_url: str
    folder: object


@contextlib.contextmanager
def stand(postgres_server, template_database, redis_server, folder, **environment):
    with (
        fresh_database(postgres_server, template_database) as database_url,
        opened(database_url, redis_server.url(), folder, **environment) as house,
    ):
        ada, bob = furnish(house)
        people(database_url)
        house.services.room.close()  # nobody waits for events here: what is there is the answer
        yield Standing(house, ada, bob, partner_admin(house, ada), database_url, redis_server.url(), folder)


def people(database_url):
    """A user and a group that the directory knows in tenant A."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            """
            INSERT INTO users (tenant_id, id, email, display_name, status, mfa_enabled, roles, changed_at, last_synced_at)
            VALUES ('tnt_a', 'usr_there', 'there@a.example', 'There', 'ACTIVE', true, '{}', now(), now())
            """
        )
        connection.execute(
            """
            INSERT INTO groups (tenant_id, id, name, status, changed_at, last_synced_at)
            VALUES ('tnt_a', 'grp_there', 'there', 'ACTIVE', now(), now())
            """
        )


@pytest.fixture(scope="session")
def standing(postgres_server, template_database, redis_server, tmp_path_factory):
    with stand(postgres_server, template_database, redis_server, tmp_path_factory.mktemp("standing")) as made:
        yield made


@pytest.fixture
def house(standing):
    """The standing house, its clock where it was."""
    instant = standing.house.clock.instant
    yield standing.house
    standing.house.clock.instant = instant


@pytest.fixture
def ada(house, standing):
    """The administrator of tenant A."""
    return standing.ada


@pytest.fixture
def bob(house, standing):
    """The administrator of tenant B."""
    return standing.bob


@pytest.fixture
def pat(house, standing):
    """The administrator of the partner."""
    return standing.pat


@pytest.fixture
def room():
    """The beginning of paths, ids and names that no other test uses."""
    return f"room{next(_numbers)}"
