"""The internal listener: a few pages on a port of its own, whatever its clients do."""

import contextlib
import http.client
import socket
import threading

import pytest

from scaivault.observability.listener import MOST_CONNECTIONS, InternalListener, Page

PATIENCE_SECONDS = 5
PLANTED = "hunter2-planted"


class Pages:
    """Three pages: one that answers, one that waits for the gate, one that fails."""

    def __init__(self):
        self.accepted = []
        self.queries = []
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)

    def plain(self, accept, query):
        self.accepted.append(accept)
        self.queries.append(query)
        return Page(200, "application/json", b'{"status":"healthy"}')

    def slow(self, _accept, _query):
        self.entered.release()
        assert self.gate.wait(PATIENCE_SECONDS)
        return Page(503, "text/plain", b"late")

    def broken(self, _accept, _query):
        raise RuntimeError(PLANTED)

    def table(self):
        return {"/v1/health": self.plain, "/slow": self.slow, "/broken": self.broken}


@pytest.fixture
def pages():
    return Pages()


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request, pages):
    listener = InternalListener((request.param, 0), pages.table())
    listener.open()
    yield listener
    pages.gate.set()
    listener.close()


@pytest.fixture
def address(listener):
    return listener._server.server_address[:2]


def ask(address, path, method="GET", **headers):
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE_SECONDS)
    with contextlib.closing(connection):
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read()


@pytest.mark.parametrize("path", ["/v1/health", "/v1/health?full=1", "/v1/health?"])
def test_a_page_is_served(address, pages, path):
    answer, body = ask(address, path, Accept="application/openmetrics-text")
    assert (answer.status, body) == (200, b'{"status":"healthy"}')
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert pages.accepted == ["application/openmetrics-text"]
    assert pages.queries == [path.partition("?")[2]]


def test_a_head_is_a_page_without_its_body(address):
    answer, body = ask(address, "/v1/health", "HEAD")
    assert (answer.status, answer.headers["Content-Length"], body) == (200, "20", b"")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/health/", "/v1/healthy", "/v1/%68ealth", "/v1/secrets/a"])
def test_anything_else_is_not_there(address, path):
    answer, body = ask(address, path)
    assert (answer.status, body) == (404, b"not found\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_done_to_it(address, method):
    assert ask(address, "/v1/health", method)[0].status == 501


def test_it_says_neither_what_it_is_made_of_nor_where(address):
    answer, _ = ask(address, "/v1/health")
    assert answer.headers["Server"].strip() == "scaivault"


def test_a_page_that_fails_takes_its_connection_and_nothing_else(address, capsys):
    with pytest.raises(http.client.RemoteDisconnected):
        ask(address, "/broken")
    assert ask(address, "/v1/health")[0].status == 200
    assert PLANTED not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\r\n",
        b"rubbish\r\n\r\n",
        b"GET\r\n\r\n",
        b"\xff\xfe\x00" * 50 + b"\r\n\r\n",
        b"GET /v1/health HTTP/9.9\r\n\r\n",
    ],
)
def test_a_client_that_speaks_no_http_does_no_harm(address, sent, capsys):
    with socket.create_connection(address, PATIENCE_SECONDS) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        client.recv(1_000)
    assert ask(address, "/v1/health")[0].status == 200
    assert capsys.readouterr() == ("", "")


def test_a_slow_answer_does_not_hold_up_another(address, pages):
    waiting = threading.Thread(target=ask, args=(address, "/slow"), daemon=True)
    waiting.start()
    assert pages.entered.acquire(timeout=PATIENCE_SECONDS)
    assert ask(address, "/v1/health")[0].status == 200
    pages.gate.set()
    waiting.join(PATIENCE_SECONDS)


def test_connections_are_bounded_and_come_free_again(address, pages):
    clients = [socket.create_connection(address, PATIENCE_SECONDS) for _ in range(MOST_CONNECTIONS)]
    for client in clients:
        client.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
    assert all(pages.entered.acquire(timeout=PATIENCE_SECONDS) for _ in clients)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        ask(address, "/v1/health")
    pages.gate.set()
    for client in clients:
        with client:
            while client.recv(1_000):
                pass
    assert ask(address, "/v1/health")[0].status == 200


def test_processes_share_the_port(address, pages):
    """As gunicorn's workers do: whoever of them is alive answers."""
    other = InternalListener(address, pages.table())
    other.open()
    assert ask(address, "/v1/health")[0].status == 200
    other.close()
    assert all(ask(address, "/v1/health")[0].status == 200 for _ in range(5))


def test_a_closed_listener_is_gone_and_may_be_closed_again(address, listener):
    listener.close()
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, PATIENCE_SECONDS)


def test_a_closed_listener_may_be_opened_again(listener):
    listener.close()
    listener.open()
    assert ask(listener._server.server_address[:2], "/v1/health")[0].status == 200


def test_who_is_connected_when_it_closes_is_answered(listener, address, pages):
    """Several in the queue, one in the middle of his answer: none of them is reset."""
    with contextlib.ExitStack() as stack:
        slow = stack.enter_context(contextlib.closing(http.client.HTTPConnection(*address, timeout=PATIENCE_SECONDS)))
        slow.request("GET", "/slow")
        assert pages.entered.acquire(timeout=PATIENCE_SECONDS)
        clients = [stack.enter_context(socket.create_connection(address, PATIENCE_SECONDS)) for _ in range(5)]
        for client in clients:
            client.sendall(b"GET /v1/health HTTP/1.0\r\n\r\n")
        pages.gate.set()
        listener.close()
        assert slow.getresponse().status == 503
        for client in clients:
            assert client.makefile("rb").read().startswith(b"HTTP/1.0 200")


def test_a_port_of_ones_own_is_not_shared(address, pages):
    other = InternalListener(address, pages.table(), is_shared=False)
    with pytest.raises(OSError, match="in use"):
        other.open()
