"""A real issuer: keys of every kind, a real HTTP server that publishes them, and a pen that signs anything."""

import base64
import contextlib
import json
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

AUDIENCE = "scaivault"
DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/.well-known/jwks.json"


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value, length=None):
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8))


@cache
def rsa_key(name="rsa", bits=2048):
    return rsa.generate_private_key(65_537, bits)


@cache
def ec_key(name="ec", curve="P-256"):
    return ec.generate_private_key({"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}[curve])


@cache
def ed_key(name="ed"):
    return ed25519.Ed25519PrivateKey.generate()


def jwk(key, kid, **more):
    """The public half of a private key as a JWK."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        members = {"kty": "RSA", "alg": "RS256", "n": number(numbers.n), "e": number(numbers.e)}
    elif isinstance(public, ec.EllipticCurvePublicKey):
        numbers, length = public.public_numbers(), (public.curve.key_size + 7) // 8
        curve = f"P-{public.curve.key_size}"
        members = {"kty": "EC", "crv": curve, "x": number(numbers.x, length), "y": number(numbers.y, length)}
    else:
        members = {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes_raw())}
    return {**members, "kid": kid, "use": "sig", **more}


def signature(key, message):
    """As JWS has it: RS256, ES256 or EdDSA."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)
    return key.sign(message)


def as_json(value):
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def compact(header, claims, sign):
    """`sign` is a private key, or a function from the signing input to the signature's bytes."""
    head = f"{b64(as_json(header))}.{b64(as_json(claims))}"
    made = sign(head.encode()) if callable(sign) else signature(sign, head.encode())
    return f"{head}.{b64(made)}"


class Provider:
    """Publishes `keys` (kid → private key) unless `instead` answers in its place; `asked` are the paths it was sent."""

    def __init__(self):
        self.keys = {"rsa-1": rsa_key(), "ec-1": ec_key(), "ed-1": ed_key()}
        self.cache_control = None
        self.instead = {}
        self.asked = []
        self.now = time.time
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def fetches(self):
        return self.asked.count(JWKS)

    def key_set(self):
        return {"keys": [jwk(key, kid) for kid, key in self.keys.items()]}

    def discovery(self):
        return {"issuer": self.url, "jwks_uri": self.url + JWKS}

    def claims(self, **said):
        now = int(self.now())
        usual = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "usr_1",
            "email": "ada@a.example",
            "tenant_id": "tnt_a",
            "scope": "secrets:read secrets:list",
            "iat": now,
            "exp": now + 3600,
        }
        return {name: value for name, value in {**usual, **said}.items() if value is not ...}

    def header(self, kid="ec-1", **more):
        key = self.keys.get(kid) if isinstance(kid, str) else None
        alg = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "EdDSA" if key is self.keys.get("ed-1") else "ES256"
        return {
            name: value for name, value in {"alg": alg, "kid": kid, "typ": "JWT", **more}.items() if value is not ...
        }

    def token(self, kid="ec-1", **said):
        """A good token, but for what is said; `...` leaves a claim out."""
        return compact(self.header(kid), self.claims(**said), self.keys[kid])

    def _handler(self):
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                provider.asked.append(self.path)
                with contextlib.suppress(OSError):
                    if self.path in provider.instead:
                        provider.instead[self.path](self)
                    elif self.path in {DISCOVERY, JWKS}:
                        document = provider.discovery() if self.path == DISCOVERY else provider.key_set()
                        answer(self, as_json(document), cache_control=provider.cache_control)
                    else:
                        answer(self, b"{}", 404)

            def log_message(self, *_):
                pass

        return Handler


def answer(handler, body, status=200, cache_control=None, **headers):
    handler.send_response(status)
    if cache_control:
        handler.send_header("Cache-Control", cache_control)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def provider():
    made = Provider()
    yield made
    made.close()


@pytest.fixture(scope="module")
def standing_provider():
    made = Provider()
    yield made
    made.close()
