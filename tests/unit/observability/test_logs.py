"""One form for every line of every logger, and no way for a secret into any of them."""

import io
import json
import logging
import sys
import threading
from datetime import datetime
from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaivault.observability import logs

PLANTED = "hunter2-correct-horse"
DSN = f"postgresql://scaivault:{PLANTED}@db.internal:5432/vault"
TOKEN = "skt_q7JmPLANTEDx3-_Zs"


@pytest.fixture
def stream():
    """What is logged goes here; everything is put back afterwards."""
    root = logging.getLogger()
    before = root.handlers, root.level, sys.excepthook, threading.excepthook, sys.unraisablehook
    stream = io.StringIO()
    logs.configure("debug", "json", None, stream)
    yield stream
    root.handlers, level, sys.excepthook, threading.excepthook, sys.unraisablehook = before
    root.setLevel(level)


@pytest.fixture
def text(stream):
    logs.configure("debug", "text", None, stream)
    return stream


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_the_documented_form(stream):
    logs.logger("scaivault.request")(
        "warn", "request", request_id="req_1", tenant_id="tnt_dev", status=403, duration_ms=1.25, method="GET"
    )
    [line] = lines(stream)
    instant = line.pop("timestamp")
    assert instant.endswith("Z")
    assert len(instant) == len("2031-05-20T12:00:00.123Z")
    assert datetime.fromisoformat(instant).utcoffset().total_seconds() == 0
    assert isinstance(line.pop("pid"), int)
    assert line == {
        "level": "warn",
        "logger": "scaivault.request",
        "event": "request",
        "request_id": "req_1",
        "tenant_id": "tnt_dev",
        "method": "GET",
        "status": 403,
        "duration_ms": 1.25,
    }


@pytest.mark.parametrize(
    ("level", "word"),
    [(10, "debug"), (20, "info"), (25, "info"), (30, "warn"), (40, "error"), (50, "error")],
)
def test_levels_are_the_four_documented_words(stream, level, word):
    logging.getLogger("scaivault").log(level, "event")
    assert lines(stream)[0]["level"] == word


def test_a_level_silences_what_is_below(stream):
    logs.configure("warn", "json", None, stream)
    for level in logs.LEVELS:
        logs.logger("scaivault")(level, level)
    assert [line["event"] for line in lines(stream)] == ["warn", "error"]


def test_libraries_may_not_log_debug_lines(stream):
    logging.getLogger("botocore.auth").debug("signing with %s", PLANTED)
    assert lines(stream) == []


def test_every_line_is_counted_by_level(stream):
    counted = []
    logs.configure("info", "json", counted.append, stream)
    logs.logger("scaivault")("info", "one")
    logs.logger("scaivault")("debug", "not written")
    logging.getLogger("gunicorn.error").critical("two")
    assert counted == ["info", "error"]


def test_configuring_again_replaces(stream):
    logs.configure("info", "json", None, stream)
    logs.configure("info", "json", None, stream)
    logs.logger("scaivault")("info", "once")
    assert len(lines(stream)) == 1


def test_only_allow_listed_fields_are_written(stream):
    logs.logger("scaivault")("info", "event", plaintext=PLANTED, name=PLANTED, args=PLANTED, message=PLANTED)
    logging.getLogger("scaivault").info("event", extra={"plaintext": PLANTED, "data": {"password": PLANTED}})
    assert PLANTED not in stream.getvalue()
    assert len(lines(stream)) == 2


class Carrier:
    """Renders as what it carries, as far as any formatter can get it to."""

    def __str__(self):
        return PLANTED

    __repr__ = __str__

    def __format__(self, _spec):
        return PLANTED


def explode():
    plaintext = PLANTED  # noqa: F841 - a local variable for the traceback to show, if it did
    raise ValueError(f"can not read {PLANTED}") from KeyError(PLANTED)


def log_exception(logger):
    try:
        explode()
    except ValueError:
        logger.exception("it broke")


def theirs(text, *arguments, logger="other"):
    logging.getLogger(logger).warning(text, *arguments)


def ours(text, *arguments):
    logging.getLogger("scaivault.x").warning(text, *arguments)


LEAKS = {
    "our argument": lambda: ours("opening %s", PLANTED),
    "our mapping": lambda: ours("opening %(a)s", {"a": PLANTED}),
    "our field of another type": lambda: logs.logger("scaivault.x")("info", "event", route=Carrier(), count=[PLANTED]),
    "our exception": lambda: log_exception(logging.getLogger("scaivault.x")),
    "our failure": lambda: logs.logger("scaivault.x")("error", "event", ValueError(PLANTED)),
    "an exception as the message": lambda: ours(ValueError(PLANTED)),
    "a mapping as the message": lambda: theirs({"data": PLANTED}),
    "the stack": lambda: logging.getLogger("other").info("x", stack_info=True),
    "their exception": lambda: log_exception(logging.getLogger("gunicorn.error")),
    "an exception as argument": lambda: theirs("%r: %s", "p", OSError(PLANTED), logger="elsewhere.pool"),
    "their argument": lambda: theirs("retrying %s", PLANTED),
    "their mapping": lambda: theirs("retrying %(url)s", {"url": PLANTED}),
    "their object": lambda: theirs("using %s", Carrier(), logger="gunicorn.error"),
    "arguments that do not fit": lambda: theirs("%d of %d", PLANTED, PLANTED, logger="gunicorn.error"),
    "a request line": lambda: theirs(f'Invalid request line: \'{{"a": "{PLANTED}"}}\'', logger="gunicorn.error"),
    "a query string": lambda: theirs("Error handling request %s", f"/v1?q={PLANTED}", logger="gunicorn.error"),
    "a DSN": lambda: theirs(f"connecting to {DSN}"),
    "a DSN of ours": lambda: ours(f"connecting to {DSN}"),
    "a DSN with an @ and a / in it": lambda: theirs(f"redis://u:@{PLANTED}/@{PLANTED}@host/0"),
    "conninfo": lambda: theirs(f"host=db password={PLANTED} user=vault"),
    "a bearer": lambda: theirs(f"Authorization: Bearer {PLANTED}"),
    "a basic header": lambda: theirs(f"authorization: basic {PLANTED}"),
    "a token": lambda: theirs(f"token {TOKEN} refused"),
    "a token in a field": lambda: logs.logger("scaivault.x")("info", "event", identity_id=TOKEN),
    "a JWT": lambda: theirs(f"got eyJhbGciOi.{PLANTED}.{PLANTED}"),
}


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_secret_appears_nowhere(leak, form, stream, capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # the test runner's own keep everything
    logs.configure("debug", form, None, stream)
    LEAKS[leak]()
    captured = capsys.readouterr()
    for written in (stream.getvalue(), captured.out, captured.err):
        assert PLANTED not in written
        assert TOKEN[4:] not in written
    assert stream.getvalue().count("\n") >= 1


def test_an_exception_is_its_types_its_places_and_its_codes(stream):
    log_exception(logging.getLogger("scaivault.x"))
    [line] = lines(stream)
    assert line["error_type"] == "ValueError"
    assert line["caused_by"] == ["KeyError"]
    assert [frame.rpartition(" ")[2] for frame in line["frames"]] == ["log_exception", "explode"]
    assert all(".py:" in frame for frame in line["frames"])
    logs.logger("scaivault.x")("error", "disk", OSError(28, PLANTED))
    assert lines(stream)[1]["errno"] == 28


def test_gunicorn_says_what_it_has_to_say(stream):
    logging.getLogger("gunicorn.error").info("Listening at: %s (%s)", "http://127.0.0.1:8443", 7)
    logging.getLogger("gunicorn.error").info("Handling signal: %s", "term")
    logging.getLogger("elsewhere.pool").warning("error connecting in %r: %s", "pool-1", OSError(111, PLANTED))
    assert [line["event"] for line in lines(stream)] == [
        "Listening at: http://127.0.0.1:8443 (7)",
        "Handling signal: term",
        "error connecting in '…': ConnectionRefusedError",
    ]


def test_the_pool_tells_what_is_wrong_with_it_and_not_each_attempt_to_reach_a_server_that_is_away(stream):
    pool = logging.getLogger("psycopg.pool")
    pool.warning("error connecting in %r: %s", "pool-1", OSError(111, "Connection refused"))
    pool.error("error closing")
    assert [line["event"] for line in lines(stream)] == ["error closing"]


def test_gunicorns_logger_takes_our_form(stream):
    logger = logs.GunicornLogger(Config())
    try:
        logger.info("Booting worker with pid: %s", 7)
        logger.access(SimpleNamespace(status="200 OK"), None, {"HTTP_USER_AGENT": '"}\n{"event":"forged'}, None)
        logger.reopen_files()
        logger.close_on_exec()
        assert [line["event"] for line in lines(stream)] == ["Booting worker with pid: 7"]
    finally:
        for name in ("gunicorn.error", "gunicorn.access"):
            logging.getLogger(name).handlers = []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=st.text())
def test_no_value_forges_a_line(stream, value):
    stream.seek(0)
    stream.truncate()
    logs.logger("scaivault.request")("info", "request", route=value, status=200)
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert written.isascii()
    assert json.loads(written)["event"] == "request"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=st.text())
def test_no_value_forges_a_line_of_text(text, value):
    text.seek(0)
    text.truncate()
    logs.logger("scaivault.request")("info", "request", route=value, status=200)
    written = text.getvalue()
    assert len(written.splitlines()) == 1
    assert written.count("status=200") == 1 + value.count("status=200")


def test_what_nobody_caught_is_an_event(stream, capsys):
    thread = threading.Thread(target=explode, name=PLANTED)
    thread.start()
    thread.join()
    try:
        explode()
    except ValueError:
        sys.excepthook(*sys.exc_info())
    assert [(line["event"], line["error_type"]) for line in lines(stream)] == [
        ("thread_died", "ValueError"),
        ("uncaught_exception", "ValueError"),
    ]
    assert PLANTED not in stream.getvalue() + capsys.readouterr().err


def test_text_is_for_people(text):
    logs.logger("scaivault.request")("info", "request", method="GET", route="/v1/secrets", status=200)
    [line] = text.getvalue().splitlines()
    assert line.endswith(" info  scaivault.request request method=GET route=/v1/secrets status=200")
