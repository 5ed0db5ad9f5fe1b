"""Redis: slow, or standing still."""

from tests.faults.test_dependencies import frozen as family_frozen


def slow(stack):
    """Later than is well, and sooner than a request would go on without it (0.05 s)."""
    return stack.to_cache.delayed(0.03)


def frozen(stack):
    return family_frozen(stack.cache.process.pid)
