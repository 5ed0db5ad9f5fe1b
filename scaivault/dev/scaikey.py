"""A stand-in for ScaiKey: discovery, keys, client credentials and a directory, in a process of its own on this machine.

Who can read its folder can do all it can do, so these take no more than that:

    kill -USR1 "$(cat .dev/scaikey/pid)"                                        sign with a new key from now on
    python -m scaivault.dev.scaikey mint .dev/scaikey email=alice@dev.local     a user's token, with any claims
"""

import base64
import binascii
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer
from urllib.parse import parse_qs, unquote_plus

import click

from scaivault.dev import directory, processes
from scaivault.dev.issuer import CLIENT_SCOPES, LIFETIME_SECONDS, VAULT_CLIENT_ID, VAULT_SCOPES, Issuer
from scaivault.dev.plan import LOOPBACK
from scaivault.dev.processes import DevFault

START_SECONDS = 20
MAX_FORM_BYTES = 8_192
MAX_AGE_SECONDS = 300
OK, BAD_REQUEST, UNAUTHORIZED, NOT_FOUND = 200, 400, 401, 404


@dataclass(frozen=True, slots=True)
class Server:
    """A running stand-in."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    log: Path

    @property
    def issuer(self) -> Issuer:
        """What it signs with, which is in files."""
        return Issuer(self.folder, url_at(self.port))

    def stop(self) -> bool:
        return processes.stop(self.process, signal.SIGTERM, within_seconds=5)


def start(folder: Path, log: Path, environ: Mapping[str, str]) -> Server:
    """The stand-in whose keys are in `folder`, started; not yet answering."""
    processes.private_folder(folder)
    port = processes.kept_port(folder / "port")
    Issuer(folder, url_at(port))  # its files are there before two processes would make them
    command = [sys.executable, "-m", "scaivault.dev.scaikey", "serve", str(folder)]
    process = processes.spawn(processes.leashed(command, on_our_death="TERM"), log, environ)
    processes.write_private(folder / "pid", f"{process.pid}\n")
    return Server(process, port, folder, log)


def await_ready(server: Server) -> None:
    """Return once it accepts connections; DevFault when it ended or time is up."""
    deadline = time.monotonic() + START_SECONDS
    while server.process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((LOOPBACK, server.port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise DevFault(f"The ScaiKey stand-in did not start; {server.log} ends:\n{processes.last_lines(server.log)}")


def url_at(port: int) -> str:
    """The issuer's name, and where it is."""
    return f"http://{LOOPBACK}:{port}"


class Handler(BaseHTTPRequestHandler):
    """One request. Every answer is JSON."""

    timeout = 10  # seconds that a client may take

    def __init__(self, issuer: Issuer, connection: socket.socket, client: tuple[str, int], server: BaseServer) -> None:
        self._issuer = issuer
        super().__init__(connection, client, server)

    def do_GET(self) -> None:
        documents = {
            "/.well-known/openid-configuration": self._issuer.discovery,
            "/.well-known/jwks.json": self._issuer.key_set,
        }
        document = documents.get(self.path)
        if self.path.startswith(directory.PREFIX):
            self._list()
        elif document is None:
            self._answer(NOT_FOUND, {"error": "not_found"})
        else:
            self._answer(OK, document(), f"max-age={MAX_AGE_SECONDS}")

    def _list(self) -> None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not self._issuer.may_read_directory(token):
            self._answer(UNAUTHORIZED, {"error": "invalid_token"})
            return
        listed = directory.answer(self.path)
        self._answer(*((NOT_FOUND, {"error": "not_found"}) if listed is None else (OK, listed)))

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/oauth/token":
            self._answer(NOT_FOUND, {"error": "not_found"})
        elif not length.isdigit() or int(length) > MAX_FORM_BYTES:
            self._answer(BAD_REQUEST, {"error": "invalid_request"})
        else:
            form = parse_qs(self.rfile.read(int(length)).decode("ascii", "replace"))
            self._answer(*self._grant({name: texts[-1] for name, texts in form.items()}))

    def _grant(self, form: Mapping[str, str]) -> tuple[int, dict[str, object]]:
        client_id, client_secret = self._credentials(form)
        allowed = VAULT_SCOPES if client_id == VAULT_CLIENT_ID else CLIENT_SCOPES
        scopes = form.get("scope", " ".join(allowed)).split()
        if form.get("grant_type") != "client_credentials":
            return BAD_REQUEST, {"error": "unsupported_grant_type"}
        if not self._issuer.knows(client_id, client_secret):
            return UNAUTHORIZED, {"error": "invalid_client"}
        if not set(scopes) <= set(allowed):
            return BAD_REQUEST, {"error": "invalid_scope"}
        token = self._issuer.client_token(client_id, scopes)
        told = {"access_token": token, "token_type": "Bearer", "expires_in": LIFETIME_SECONDS}
        return OK, {**told, "scope": " ".join(scopes)}

    def _credentials(self, form: Mapping[str, str]) -> tuple[str, str]:
        """By Basic, whose two halves are form-encoded (RFC 6749, 2.3.1), or by the form."""
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return form.get("client_id", ""), form.get("client_secret", "")
        try:
            client_id, _, client_secret = base64.b64decode(encoded, validate=True).decode("ascii").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return unquote_plus(client_id), unquote_plus(client_secret)

    def _answer(self, status: int, document: Mapping[str, object], cache_control: str = "no-store") -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", cache_control)
        self.end_headers()
        self.wfile.write(body)


@click.group()
def main() -> None:
    """The ScaiKey stand-in of `make run`."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
def serve(folder: Path) -> None:
    """Answer on the port that the folder names, until SIGTERM."""
    issuer = _issuer(folder)
    signal.signal(signal.SIGUSR1, lambda *_: issuer.rotate())
    port = int(issuer.url.rpartition(":")[2])
    with ThreadingHTTPServer((LOOPBACK, port), partial(Handler, issuer)) as server:
        server.serve_forever()


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.argument("claims", nargs=-1, metavar="NAME=VALUE...")
def mint(folder: Path, claims: Sequence[str]) -> None:
    """Print a token that says these claims; a VALUE that is JSON is taken as such. For trying things out."""
    named = dict(_claim(text) for text in claims)
    subject = named.get("email", f"usr_{os.getpid()}")
    click.echo(_issuer(folder).token({"sub": subject, "scope": " ".join(CLIENT_SCOPES), **named}))


def _issuer(folder: Path) -> Issuer:
    return Issuer(folder, url_at(int((folder / "port").read_text())))


def _claim(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.UsageError("claims are written NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


if __name__ == "__main__":
    main()
