"""Clients that ask too much, ask for what is not theirs, or are more than anybody reckoned with."""

import itertools
import threading
from contextlib import contextmanager

import requests

from scaivault.dev.plan import PARTNER
from scaivault.features.identity.model import Identity
from scaivault.kernel.caller import Scope
from scaivault.observability.catalogue.vocabulary import CAP
from tests.drills.load import hammering

# Beyond what one process keeps apart; these go on asking.
TOO_MANY = 5


def too_often(stack):
    """Ten times as often as its limit allows."""
    return hammering(stack, 1, 0.05, "GET", "auth/whoami", stack.tokens.reader)


def denied(stack):
    """A reader tries what it may not read."""
    return hammering(stack, 2, 0.04, "GET", "secrets/billing/db", stack.tokens.reader)


@contextmanager
def of_too_many_tenants(stack):
    """On one connection, and so all to one process."""
    tokens = _tenants(stack, CAP + TOO_MANY)
    stopping = threading.Event()

    def ask():
        with requests.Session() as session:
            for token in itertools.chain(tokens, itertools.cycle(tokens[-TOO_MANY:])):
                # Slower once they are beyond the cap: each is refused, and who is refused often is another alert.
                if stopping.wait(0.3 if token in tokens[-TOO_MANY:] else 0):
                    return
                stack.call("GET", "secrets/app/db", token=token, session=session)

    thread = threading.Thread(target=ask, name="tenants", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _tenants(stack, count):
    """Tokens of so many tenants, one each."""
    services = stack.services()
    try:
        tokens = []
        for number in range(count):
            tenant = f"tnt_drill{number}"
            services.installer.add_tenant(PARTNER, tenant, f"Tenant {number}")
            nobody = Identity(f"user:{number}@drill.local", "Somebody")
            tokens.append(services.installer.add_holder(tenant, nobody, frozenset({Scope.SECRETS_READ}), "drill"))
        return tokens
    finally:
        services.close()
