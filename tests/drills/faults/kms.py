"""The key service: slow, overloaded, or with its key disabled."""

from contextlib import contextmanager


def slow(stack):
    """Less than readiness waits for two calls in a row."""
    return stack.to_kms.delayed(0.6)


@contextmanager
def throttled(stack):
    """It can say how its key is, and has no room for using it."""
    stack.kms.throttled = True
    try:
        yield
    finally:
        stack.kms.throttled = False


@contextmanager
def disabled(stack):
    """By an administrator of the key service."""
    key = stack.settings.kms_key_id.rpartition("/")[2]  # moto takes no ARN here
    stack.kms.admin.disable_key(KeyId=key)
    try:
        yield
    finally:
        stack.kms.admin.enable_key(KeyId=key)
