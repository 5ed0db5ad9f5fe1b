"""Rotations that fail, that nobody gets to, or that somebody outside was to do and has not."""

from contextlib import contextmanager

from tests.drills.stack import forwarding
from tests.waiting import await_true

INTERVAL = "10s"  # no policy's is shorter
GENERATED = [{"name": "password", "generator": "random", "config": {"length": 24}}]
SECRETS = 5
# What has failed waits for a minute or more before it is tried again; here it does as if that time had passed.
FORWARD = """
    UPDATE secret_rotations SET wake_at = now()
     WHERE policy_id = %(what)s AND failures > 0 AND wake_at > now()
"""


@contextmanager
def failing(stack):
    """What the values are made by is switched off."""
    generator = _made(stack, "secret-policies", {"name": "off", "fields": GENERATED, "is_active": False})
    with (
        _policy(stack, "failing", SECRETS, auto_generate=True, secret_policy_id=generator) as policy,
        forwarding(stack, FORWARD, policy),
    ):
        yield
        _done(stack, "PATCH", f"secret-policies/{generator}", {"is_active": True})
        await_true(lambda: all(_version(stack, f"failing/{number}") > 1 for number in range(SECRETS)), 60)


@contextmanager
def stuck(stack):
    """A forgotten transaction holds a secret that is due."""
    generator = _made(stack, "secret-policies", {"name": "on", "fields": GENERATED})
    with _policy(stack, "stuck", 1, auto_generate=True, secret_policy_id=generator), stack.connection() as connection:
        with connection.transaction(force_rollback=True):
            connection.execute("SELECT FROM secret_rotations WHERE path = 'rotated/stuck/0' FOR UPDATE")
            yield
        await_true(lambda: _version(stack, "stuck/0") > 1, 60)


@contextmanager
def neglected(stack):
    """Nobody writes what was to be written within a second."""
    with _policy(stack, "neglected", 1, grace_period="1s"):
        yield
        _done(stack, "PUT", "secrets/rotated/neglected/0", {"data": {"password": "at last"}})


@contextmanager
def _policy(stack, name, secrets, **terms):
    """A rotation policy with so many secrets under it, taken away in the end."""
    policy = _made(stack, "rotation/policies", {"name": name, "interval": INTERVAL, **terms})
    try:
        for number in range(secrets):
            body = {"data": {"password": "first"}, "options": {"rotation_policy_id": policy}}
            _done(stack, "PUT", f"secrets/rotated/{name}/{number}", body)
        yield policy
    finally:
        _done(stack, "DELETE", f"rotation/policies/{policy}", None)


def _made(stack, what, body):
    return _done(stack, "POST", what, body).json()["id"]


def _version(stack, path):
    return _done(stack, "GET", f"secrets/rotated/{path}", None).json()["version"]


def _done(stack, method, path, body):
    answer = stack.call(method, path, body)
    assert answer.ok, answer.text
    return answer
