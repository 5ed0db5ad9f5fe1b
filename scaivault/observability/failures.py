"""What an exception may tell a log: never its text, which quotes what it fell over, nor its frames' variables."""

import re

MOST_FRAMES = 20
MOST_CAUSES = 5


def describe(failure: BaseException) -> dict[str, object]:
    """Its type and its causes', the database's or the system's code for it, and where it was."""
    told: dict[str, object] = {"error_type": type_name(failure), "frames": _frames(failure)}
    if causes := _causes(failure):
        told["caused_by"] = causes
    for name in ("sqlstate", "errno"):
        code = getattr(failure, name, None)
        if isinstance(code, int) or (isinstance(code, str) and re.fullmatch(r"[0-9A-Z]{5}", code)):
            told[name] = code
    return told


def type_name(failure: BaseException) -> str:
    """`psycopg.errors.DiskFull`; of the built-in ones the bare name."""
    kind = type(failure)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _causes(failure: BaseException) -> list[str]:
    causes: list[str] = []
    cause = failure.__cause__ or failure.__context__
    while cause is not None and len(causes) < MOST_CAUSES:
        causes.append(type_name(cause))
        cause = cause.__cause__ or cause.__context__
    return causes


def _frames(failure: BaseException) -> list[str]:
    frames: list[str] = []
    step = failure.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        frames.append(f"{code.co_filename}:{step.tb_lineno} {code.co_name}")
        step = step.tb_next
    return frames[-MOST_FRAMES:]
