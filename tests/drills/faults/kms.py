"""A key service that is slow, fails, or does not let its key be used."""


def slow(stack):
    return stack.to_kms.delayed(0.7)
