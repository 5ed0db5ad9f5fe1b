"""Clients that do not say what they want: they wait for themselves, not the others for them."""

import contextlib
import http.client
import json
import signal
import socket
import time

import pytest

from tests.deploy.test_dev_supervisor import READY, Dev, free_ports_of_dev

MANY = 40  # more than twice the request threads of two workers
PATIENCE_SECONDS = 60  # one worker may have got them all: 40 clients, 8 threads, 5 seconds each


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    ports = free_ports_of_dev()
    dev = Dev(tmp_path_factory.mktemp("slow") / "dev", **ports).await_words(READY)
    yield int(ports["PORT"])
    dev.end(signal.SIGTERM)


def is_answered(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)  # less than a thread is kept by who is silent
    try:
        connection.request("GET", "/v1/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def crowd(port, said):
    with contextlib.ExitStack() as stack:
        for _ in range(MANY):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(said)
        yield


def test_connections_without_a_word_cost_no_thread(port):
    with crowd(port, b""):
        assert is_answered(port)


@pytest.mark.parametrize(
    "said",
    [
        b"GET /v1/he",
        b"GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Half: ",
        b"PUT /v1/secrets/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    ],
)
def test_half_a_request_costs_no_thread(port, said):
    with crowd(port, said):
        assert is_answered(port)


def test_a_body_without_a_length_is_not_waited_for_long(port):
    """How much of it is to come can not be known before it is read: it costs a thread, for some seconds."""
    with crowd(port, b"PUT /v1/secrets/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_answered(port):
            assert time.monotonic() < deadline


def test_who_drips_is_hung_up_on_and_keeps_nobody_waiting(port):
    with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
        deadline = time.monotonic() + PATIENCE_SECONDS
        with contextlib.suppress(ConnectionError):
            client.sendall(b"GET /v1/health HTTP/1.1\r\nX-Long: ")
            while True:
                assert time.monotonic() < deadline
                client.sendall(b"x")
                with contextlib.suppress(TimeoutError):
                    if client.recv(1) == b"":
                        break
                assert is_answered(port)


def test_who_is_slow_to_hang_up_keeps_nobody_waiting(port):
    """Told that the connection ends, they keep their side open: the farewell is ours to wait for, not the others'."""
    said = b"GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)) for _ in "x" * MANY
        ]
        for client in clients:
            client.sendall(said)
        for client in clients:
            assert client.recv(1) == b"H"
        assert is_answered(port)
        for client in clients:
            while client.recv(4_096):
                pass


@pytest.mark.parametrize("size", [0, 1, 100, 60_000, 1_000_000])
def test_a_request_that_comes_in_pieces_is_served_when_it_is_there(port, size):
    """Byte by byte at first, then the body in two halves: nothing of it is lost on the way."""
    said = b"PUT /v1/secrets/a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in said:
            client.sendall(bytes([byte]))
        client.sendall(b" " * (size // 2))
        client.sendall(b" " * (size - size // 2))
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.status in {400, 401}
        assert json.loads(answer.read())["error"]["code"] in {"invalid_request", "authentication_required"}


@pytest.mark.parametrize(
    ("asked", "size", "is_kept"),
    [
        (b"POST /v1/nope", 2_000, True),
        (b"PUT /v1/auth/whoami", 200_000, True),
        (b"PUT /v1/secrets/a", 1_500_000, True),
        (b"PUT /v1/secrets/a", 3_000_000, False),
    ],
)
def test_after_an_answer_that_needed_no_body_the_connection_is_what_the_answer_says(port, asked, size, is_kept):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(asked + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        with contextlib.suppress(OSError):  # who refuses a body unread may hang up on it
            client.sendall(b" " * size)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        answer.read()
        assert answer.status >= 400
        assert (answer.headers["Connection"] == "keep-alive") == is_kept
        if is_kept:
            client.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
            following = http.client.HTTPResponse(client)
            following.begin()
            assert following.status == 200


@pytest.mark.parametrize(
    "said",
    [
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nA B: c\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_in_our_words_and_not_repeated(port, said):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(said)
        head, _, body = client.recv(4_096).partition(b"\r\n\r\n")
    assert head.split()[1] in {b"400", b"404"}
    assert json.loads(body)["error"]["code"] in {"invalid_request", "not_found"}
    assert b"nonsense" not in body
