"""What an exception may tell a log: never its text, which quotes what it fell over, nor its frames' variables."""

import re
from collections.abc import Sequence

MOST_FRAMES = 20
MOST_CAUSES = 5


def describe(failure: BaseException) -> dict[str, object]:
    """Its type and its causes', the database's or the system's code for it, and where it was."""
    told: dict[str, object] = {"error_type": _type(failure), "frames": _frames(failure)}
    causes = _causes(failure)
    if causes:
        told["caused_by"] = [_type(cause) for cause in causes]
    return told | _codes([failure, *causes])


def in_brief(failure: BaseException) -> dict[str, object]:
    """For a line that is about something else: what it comes from, and the code for it."""
    causes = _causes(failure)
    return {"cause": _type(causes[0] if causes else failure)} | _codes([failure, *causes])


def _codes(failures: Sequence[BaseException]) -> dict[str, object]:
    """The first that any of them has of each kind."""
    told: dict[str, object] = {}
    for name in ("sqlstate", "errno"):
        codes = (getattr(each, name, None) for each in failures)
        if (code := next(filter(_is_code, codes), None)) is not None:
            told[name] = code
    return told


def _is_code(code: object) -> bool:
    return isinstance(code, int) or (isinstance(code, str) and re.fullmatch(r"[0-9A-Z]{5}", code) is not None)


def _type(failure: BaseException) -> str:
    kind = type(failure)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _causes(failure: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    cause = failure.__cause__ or failure.__context__
    while cause is not None and len(causes) < MOST_CAUSES:
        causes.append(cause)
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
