"""A webhook's receiver, written from the contract alone: it knows headers and the signature's rule, and nothing of ours."""

import hashlib
import hmac
import http.server
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

PATIENCE_SECONDS = 20


@dataclass(frozen=True)
class Received:
    """One request, and whether its signature holds."""

    headers: dict
    body: bytes
    is_genuine: bool
    at: float

    @property
    def event(self):
        return json.loads(self.body)

    @property
    def event_id(self):
        return self.headers["x-scaivault-event-id"]


def is_genuine(secret, headers, body):
    """The public rule: `sha256=` and the HMAC-SHA256 of timestamp, a dot and the raw body."""
    mac = hmac.new(secret.encode(), digestmod=hashlib.sha256)
    mac.update(headers.get("x-scaivault-timestamp", "").encode() + b"." + body)
    return hmac.compare_digest("sha256=" + mac.hexdigest(), headers.get("x-scaivault-signature", ""))


class Receiver:
    """An HTTP server on a port of its own. `behave(received, handler)` may answer in its own way."""

    def __init__(self, secret, behave=None):
        self.secret = secret
        self.behave = behave or ok
        self.received = []
        self._news = threading.Condition()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # whoever sent it was killed in the middle: as with any server, nothing has come
                headers = {name.lower(): value for name, value in self.headers.items()}
                received = Received(headers, body, is_genuine(receiver.secret, headers, body), time.time())
                with receiver._news:
                    receiver.received.append(received)
                    receiver._news.notify_all()
                receiver.behave(received, self)

            def do_GET(self):
                with receiver._news:
                    receiver.received.append(Received({}, b"", False, time.time()))
                self.send_error(405)

            def log_message(self, *_arguments):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_arguments):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self):
        return self._server.server_address[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def behaving(self, behave):
        """Answer in this way, and then as before."""
        before, self.behave = self.behave, behave
        try:
            yield
        finally:
            self.behave = before

    def wait(self, check, seconds=PATIENCE_SECONDS):
        """Wait until `check` of what was received holds; whether it did in time."""
        with self._news:
            return self._news.wait_for(lambda: check(self.received), seconds)

    def await_true(self, check, seconds=PATIENCE_SECONDS):
        """The same, and it must; what was received by then."""
        assert self.wait(check, seconds), [
            (each.headers.get("x-scaivault-event-type"), each.is_genuine) for each in self.received[-20:]
        ]
        return list(self.received)

    def await_count(self, count, seconds=PATIENCE_SECONDS):
        return self.await_true(lambda received: len(received) >= count, seconds)

    def types(self):
        return [each.event["event_type"] for each in self.received]


def answer(handler, status, headers=(), body=b""):
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def ok(_received, handler):
    answer(handler, 200)


def status(code, *headers):
    """An answer that is always this one."""
    return lambda _received, handler: answer(handler, code, headers)
