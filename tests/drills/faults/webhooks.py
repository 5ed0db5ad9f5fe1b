"""Receivers of webhooks that refuse, or never answer."""

import threading
import zlib
from contextlib import ExitStack, contextmanager

from tests.drills.stack import forwarding
from tests.receiver import ok, status

# What has been tried waits for 30 s to two hours before it is tried again; here it does as if that time had passed.
FORWARD = """
    WITH waiting AS (
        UPDATE webhook_deliveries SET next_attempt_at = now()
         WHERE webhook_id = %(what)s AND attempts > 0 AND next_attempt_at > now()
        RETURNING tenant_id, webhook_id)
    UPDATE webhook_lanes SET due_at = now()
     WHERE due_at > now() AND (tenant_id, webhook_id) IN (SELECT tenant_id, webhook_id FROM waiting)
"""


@contextmanager
def refusing(stack):
    """Four of five events, until they are given up: one that is never told anything is soon disabled."""

    def behave(received, handler):
        (ok if zlib.crc32(received.event_id.encode()) % 5 == 0 else status(500))(received, handler)

    with stack.refused.receiver.behaving(behave), forwarding(stack, FORWARD, stack.refused.id):
        yield


@contextmanager
def silent(stack):
    """It takes the request, and no answer comes."""
    answering = threading.Event()

    def behave(received, handler):
        answering.wait()
        ok(received, handler)

    with ExitStack() as ending, stack.awaited.receiver.behaving(behave):
        ending.callback(answering.set)
        yield
