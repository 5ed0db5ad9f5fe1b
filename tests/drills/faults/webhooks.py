"""Receivers of webhooks that refuse, or never answer."""

import threading
from contextlib import contextmanager

from tests.receiver import ok, status

# What has been tried waits for 30 s to two hours before it is tried again; here it does as if that time had passed.
FORWARD = """
    WITH waiting AS (
        UPDATE webhook_deliveries SET next_attempt_at = now()
         WHERE webhook_id = %(webhook)s AND attempts > 0 AND next_attempt_at > now()
        RETURNING tenant_id, webhook_id)
    UPDATE webhook_lanes SET due_at = now()
     WHERE due_at > now() AND (tenant_id, webhook_id) IN (SELECT tenant_id, webhook_id FROM waiting)
"""


@contextmanager
def refusing(stack):
    """Until each delivery is given up."""
    stopping = threading.Event()

    def forward():
        with stack.connection() as connection:
            while not stopping.wait(0.2):
                connection.execute(FORWARD, {"webhook": stack.refused.id})

    thread = threading.Thread(target=forward, name="forward", daemon=True)
    stack.refused.receiver.behave = status(500)
    thread.start()
    try:
        yield
    finally:
        stack.refused.receiver.behave = ok
        stopping.set()
        thread.join()


@contextmanager
def silent(stack):
    """It takes the request, and no answer comes."""
    answering = threading.Event()

    def behave(received, handler):
        answering.wait()
        ok(received, handler)

    stack.awaited.receiver.behave = behave
    try:
        yield
    finally:
        stack.awaited.receiver.behave = ok
        answering.set()
