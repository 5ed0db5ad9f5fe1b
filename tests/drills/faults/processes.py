"""Processes of the vault that are not there."""


def api_killed(stack):
    return stack.killed("api")
