"""Clients that do not say what they want: they wait for themselves, not the others for them."""

import contextlib
import http.client
import json
import signal
import socket
import time

import pytest

from tests.deploy.test_dev_supervisor import READY, Dev, free_ports

MANY = 40  # more than twice the request threads of two workers
PATIENCE_SECONDS = 60  # one worker may have got them all: 40 clients, 8 threads, 5 seconds each


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    port, ops_port = map(str, free_ports(2))
    dev = Dev(tmp_path_factory.mktemp("slow") / "dev", PORT=port, OPS_PORT=ops_port).await_words(READY)
    yield int(port)
    dev.end(signal.SIGTERM)


def is_answered(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
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
def test_half_a_request_is_not_waited_for(port, said):
    with crowd(port, said):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_answered(port):
            assert time.monotonic() < deadline


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
