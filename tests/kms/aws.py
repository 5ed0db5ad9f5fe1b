"""AWS KMS for tests: moto's server over real HTTP, which can be told to fail as the real one does."""

import io
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from functools import cached_property

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

REGION = "eu-central-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "planted-secret-access-key"}


@dataclass
class Server:
    """`next_answers` are given before moto is asked, oldest first; while `down`, every answer is a server failure.

    While `throttled`, keys can be asked about and not be used.
    """

    url: str = ""
    down: bool = False
    throttled: bool = False
    next_answers: deque = field(default_factory=deque)
    seen: list = field(default_factory=list)

    def fail(self, *codes, status=400):
        """Answer the next requests with these error codes."""
        self.next_answers.extend((status, json.dumps({"__type": code, "message": "hunter2"})) for code in codes)

    def answer(self, **fields):
        self.next_answers.append((200, json.dumps(fields)))

    def operations(self):
        return [operation for operation, _ in self.seen]

    @cached_property
    def admin(self):
        session = boto3.session.Session("AKIATEST", CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
        return session.client("kms", region_name=REGION, endpoint_url=self.url)

    def add_key(self, **options):
        return self.admin.create_key(**options)["KeyMetadata"]["Arn"]

    def add_signing_key(self, spec="ECC_NIST_P256"):
        return self.add_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")


class _FaithfulKms:
    """moto, corrected where it is not like AWS, with the server's faults in front."""

    def __init__(self, server):
        self._server = server
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ, start_response):
        request = Request(environ)
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        body = request.get_data()
        environ["wsgi.input"] = io.BytesIO(body)  # what was read here moto would wait for
        self._server.seen.append((operation, json.loads(body or b"{}")))
        return self._answer(request, operation)(environ, start_response)

    def _answer(self, request, operation):
        if self._server.down:
            return _json(500, json.dumps({"__type": "KMSInternalException"}))
        if self._server.throttled and operation in {"Encrypt", "Decrypt", "Sign"}:
            return _json(400, json.dumps({"__type": "ThrottlingException"}))
        if self._server.next_answers and operation in {"Encrypt", "Decrypt", "Sign", "DescribeKey"}:
            return _json(*self._server.next_answers.popleft())
        answer = Response.from_app(self._moto, request.environ)
        # AWS refuses a ciphertext of another key than the one it is told by this name; moto has no access control,
        # and yet answers that access is denied.
        if operation == "Decrypt" and b"AccessDeniedException" in answer.get_data():
            return _json(400, json.dumps({"__type": "IncorrectKeyException"}))
        return answer


def _json(status, text):
    return Response(text, status, content_type="application/x-amz-json-1.1")


class _Quiet(WSGIRequestHandler):
    def log(self, *_arguments):
        """No line a request."""


def start():
    """A running server and how to stop it."""
    server = Server()
    http = make_server("127.0.0.1", 0, _FaithfulKms(server), threaded=True, request_handler=_Quiet)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, name="moto")
    thread.start()

    def stop():
        http.shutdown()
        thread.join()
        http.server_close()

    return server, stop
