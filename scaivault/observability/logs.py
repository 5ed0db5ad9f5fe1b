"""Log lines: one JSON object each, made of allow-listed fields and of nothing else.

A vault's worst leak is its own log. So no argument of ours is ever rendered, no exception's text, no local variable;
other libraries' messages lose whatever they quote; and what looks like a credential is masked wherever it stands.
"""

import json
import logging
import re
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from gunicorn.glogging import Logger  # type: ignore[import-untyped]  # gunicorn has no types
from pythonjsonlogger.json import JsonFormatter

from scaivault.observability import failures

FIELDS = (
    "request_id",
    "trace_id",
    "span_id",
    "tenant_id",
    "identity_id",
    "issuer",
    "trust_id",
    "method",
    "route",
    "path_category",
    "status",
    "duration_ms",
    "waited_ms",
    "error",
    "error_type",
    "job",
    "address",
    "count",
    "version",
    "webhook_id",
    "trouble",
    "attempt",
    "dependency",
    "condition",
)
_KNOWN = frozenset(FIELDS)
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
OURS = "scaivault"
GUNICORN = "gunicorn."
HIDDEN = "…"
MOST_CHARACTERS = 500

# Substrings first: nearly every line has none of them, and looking for these is twenty times cheaper.
_SUSPICIOUS = ("skt_", "://", "earer ", "EARER ", "asic ", "ASIC ", "eyJ", "assw", "ASSW")
_CREDENTIAL = re.compile(
    r"(?P<userinfo>://)[^\s\"\\]*@"
    r"|(?P<token>skt_)[A-Za-z0-9_-]+"
    r"|(?P<header>(?:Bearer|Basic)\s)[^\s\"\\]+"
    r"|(?P<jwt>eyJ)[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+"
    r"|(?P<password>passw(?:or)?d\s*[=:]\s*(?:\\?[\"'])?)[^\s\"'\\&]+",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"['\"].*['\"]", re.DOTALL)
_QUERY = re.compile(r"\?\S+")


def configure(
    level: str, form: str, on_message: Callable[[str], None] | None = None, stream: TextIO | None = None
) -> None:
    """Send everything that logs in this process to `stream` (default stderr) in our form; may be called again.

    `on_message` is told the level of every line; pass none in gunicorn's master, which counts nothing.
    """
    handler = _Lines(stream or sys.stderr, _JsonForm() if form == "json" else _TextForm(), on_message)
    root = logging.getLogger()
    # Exactly these types: a test runner's capturing handlers are subclasses, and may stay.
    root.handlers = [other for other in root.handlers if type(other) not in (_Lines, logging.StreamHandler)]
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    # At debug these write whole requests and answers, and with them the keys that go to a KMS and come back.
    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(max(LEVELS[level], logging.INFO))
    # Of each attempt while PostgreSQL is away, dozens a second; readiness tells of it once (`dependency_lost`).
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    _find_out_less()
    _catch_strays()


def _find_out_less() -> None:
    """No caller's line, thread or process name for each record: no line of ours shows them (logging's HOWTO)."""
    logging._srcfile = None  # noqa: SLF001 - the documented switch
    logging.logThreads = False
    logging.logMultiprocessing = False


class EventLog:
    """Writes one event of named fields."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def __call__(self, level: str, name: str, failure: BaseException | None = None, /, **fields: object) -> None:
        event(self._logger, level, name, failure, **fields)


def logger(name: str) -> EventLog:
    """An EventLog that writes as `name`."""
    return EventLog(logging.getLogger(name))


def event(
    target: logging.Logger, level: str, name: str, failure: BaseException | None = None, /, **fields: object
) -> None:
    """Log `name`, a constant, with `fields`, of which those in FIELDS are written, and `failure` as type and frames."""
    number = LEVELS[level]
    if target.isEnabledFor(number):
        known = {field: value for field, value in fields.items() if field in _KNOWN}
        target.log(number, name, extra=known, exc_info=failure)


class _Lines(logging.StreamHandler[TextIO]):
    """The one handler."""

    def __init__(self, stream: TextIO, formatter: logging.Formatter, on_message: Callable[[str], None] | None) -> None:
        super().__init__(stream)
        self.setFormatter(formatter)
        self._on_message = on_message

    def filter(self, record: logging.LogRecord) -> bool:
        """Libraries' debug lines show what they carry: parameters, headers, bodies."""
        return record.levelno >= logging.INFO or _is_ours(record)

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if self._on_message is not None:
            self._on_message(_level(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Nothing: the default prints the record's arguments to stderr."""


# One encoder for all lines; the library would make one for each. It has no `default`: `_content` is plain already.
_encode = json.JSONEncoder().encode


class _JsonForm(JsonFormatter):
    """For machines."""

    def __init__(self) -> None:
        super().__init__(json_serializer=lambda content, **_: _encode(content))

    def format(self, record: logging.LogRecord) -> str:
        return masked(self.jsonify_log_record(_content(record)))


class _TextForm(logging.Formatter):
    """For people: one line, and one for each frame of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        content = _content(record)
        frames = content.pop("frames", [])
        when, level, name = content.pop("timestamp"), content.pop("level"), content.pop("logger")
        head = f"{when} {level:5} {name} {_shown(content.pop('event'))}"
        fields = "".join(f" {name}={_shown(value)}" for name, value in content.items() if name != "pid")
        trace = "".join(f"\n    {frame}" for frame in frames) if isinstance(frames, list) else ""
        return masked(head + fields + trace)


def _shown(value: object) -> str:
    """As it is if that is plain to see, else quoted: no value may look like a line or a field of its own."""
    text = str(value)
    # Nor like the beginning of a credential, which what comes after it would be taken for and masked.
    is_plain = text.isprintable() and "=" not in text and masked(f"{text} x") == f"{text} x"
    return text if is_plain else json.dumps(text)


def _content(record: logging.LogRecord) -> dict[str, object]:
    instant = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    content: dict[str, object] = {
        "timestamp": instant.replace("+00:00", "Z"),
        "level": _level(record),
        "logger": record.name,
        "event": _event(record),
    }
    given = record.__dict__
    for name in FIELDS:
        if name in given:
            content[name] = _plain(given[name])
    content["pid"] = record.process
    if record.exc_info and record.exc_info[1] is not None:
        content |= failures.describe(record.exc_info[1])
    return content


def _level(record: logging.LogRecord) -> str:
    if record.levelno >= logging.ERROR:
        return "error"
    if record.levelno >= logging.WARNING:
        return "warn"
    return "info" if record.levelno >= logging.INFO else "debug"


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name == OURS or record.name.startswith(OURS + ".")


def _event(record: logging.LogRecord) -> str:
    """Ours is a constant, its arguments are never looked at. Others' have arguments; what they quote is left out.

    gunicorn, for one, quotes a request line that it can not read: with a wrong Content-Length that is the rest of the
    request before, the secret in its body.
    """
    template = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
    if _is_ours(record):
        return template[:MOST_CHARACTERS]
    show_text = record.name.startswith(GUNICORN)  # addresses, signals, addresses of requests: all of them read
    message = _message(template, record.args, "" if show_text else HIDDEN)
    return _QUERY.sub(f"?{HIDDEN}", _QUOTED.sub(f"'{HIDDEN}'", message))[:MOST_CHARACTERS]


def _message(template: str, arguments: object, instead: str) -> str:
    if not arguments:
        return template
    shown: object = template
    if isinstance(arguments, dict):
        shown = {name: _argument(value, instead) for name, value in arguments.items()}
    elif isinstance(arguments, tuple):
        shown = tuple(_argument(value, instead) for value in arguments)
    try:
        return template % shown
    except (TypeError, ValueError, KeyError):
        return template


def _argument(value: object, instead: str) -> object:
    return instead or value if isinstance(value, str) else _plain(value)


def _plain(value: object) -> object:
    """Text and numbers as they are; of anything else, exceptions above all, the type only."""
    if isinstance(value, str):
        return value[:MOST_CHARACTERS]
    if value is None or isinstance(value, int | float):
        return value
    return type(value).__name__


def masked(line: str) -> str:
    """The text without what looks like a credential in it."""
    for hint in _SUSPICIOUS:
        if hint in line:
            return _CREDENTIAL.sub(_mask, line)
    return line


def _mask(match: re.Match[str]) -> str:
    kept = match[match.lastgroup or 0]
    return f"{kept}***@" if match.lastgroup == "userinfo" else f"{kept}***"


def _catch_strays() -> None:
    """What nobody caught is an event too. Python's own hooks print the exception's text."""
    stray = logger(f"{OURS}.stray")

    def of_process(kind: type[BaseException], failure: BaseException, _trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            stray("error", "uncaught_exception", failure)

    def of_thread(stopped: threading.ExceptHookArgs) -> None:
        if stopped.exc_type is not SystemExit:
            stray("error", "thread_died", stopped.exc_value)

    sys.excepthook = of_process
    threading.excepthook = of_thread
    sys.unraisablehook = lambda ignored: stray("error", "exception_ignored", ignored.exc_value)


class GunicornLogger(Logger):  # type: ignore[misc]  # see above
    """gunicorn's lines through our handler. No access line: the edge writes one canonical event a request."""

    def setup(self, cfg: object) -> None:
        """Leave handlers and levels to the root logger, which `configure` has seen to."""
        self.cfg = cfg
        for log in (self.error_log, self.access_log):
            log.handlers = []
            log.propagate = True

    def access(self, *_request: object) -> None:
        """Nothing."""
