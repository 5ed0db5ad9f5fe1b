"""Builds envelope_v1.json from the written format alone: nothing of `scaivault` is imported, every byte is fixed."""

import base64
import hashlib
import json
import struct
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VALUE, BY_TENANT_KEY, BY_PARTNER_KEY, BY_ROOT_KEY = 1, 2, 3, 4
PLACE = {"partner_id": "ptn_1", "tenant_id": "ten_1", "path": "app/database", "version": 7}


def fixed(label, length=32):
    """Bytes that anyone can make again."""
    return hashlib.sha256(f"scaivault vector {label}".encode()).digest()[:length]


def aad(*parts):
    return b"".join(struct.pack(">I", len(part.encode())) + part.encode() for part in parts)


def value(key, plaintext, context, label):
    return gcm(key, plaintext, struct.pack(">2sBB", b"SV", 1, VALUE), context, label)


def wrapped(kind, key, version, plaintext, context, *, label):
    return gcm(key, plaintext, struct.pack(">2sBBI", b"SV", 1, kind, version), context, label)


def gcm(key, plaintext, header, context, label):
    nonce = fixed(f"nonce {label}", 12)
    return header + nonce + AESGCM(key).encrypt(nonce, plaintext, header + context)


def envelope(name, plaintext, tenant_key_version):
    place = [PLACE["partner_id"], PLACE["tenant_id"], PLACE["path"], str(PLACE["version"])]
    data_key = fixed(f"data key {name}")
    tenant_key = fixed(f"tenant key {tenant_key_version}")
    return {
        "name": name,
        "place": PLACE,
        "plaintext": plaintext.hex(),
        "sealed": value(data_key, plaintext, aad("value", *place), f"value {name}").hex(),
        "wrapped_key": wrapped(
            BY_TENANT_KEY, tenant_key, tenant_key_version, data_key, aad("data-key", *place), label=f"data key {name}"
        ).hex(),
    }


def flipped(sealed, at):
    changed = bytearray(sealed)
    changed[at] ^= 1
    return bytes(changed).hex()


def failures(good):
    """Each spoils one thing; `change` replaces fields of the good envelope or of its place."""
    sealed, key = bytes.fromhex(good["sealed"]), bytes.fromhex(good["wrapped_key"])
    moved = {"partner_id": "ptn_2", "tenant_id": "ten_2", "path": "app/databas", "version": 8}
    for name, elsewhere in moved.items():
        yield {"name": f"wrong {name}", "change": {"place": {**PLACE, name: elsewhere}}}
    regions = {"magic": 0, "format": 2, "kind": 3, "nonce": 4, "ciphertext": 16, "tag": -1}
    for name, at in regions.items():
        yield {"name": f"value, flipped {name}", "change": {"sealed": flipped(sealed, at)}}
    regions = {"magic": 1, "format": 2, "kind": 3, "key version": 7, "nonce": 19, "ciphertext": 20, "tag": -1}
    for name, at in regions.items():
        yield {"name": f"wrapped key, flipped {name}", "change": {"wrapped_key": flipped(key, at)}}
    for name, blob in (("sealed", sealed), ("wrapped_key", key)):
        for length in (0, 3, 4, 16, len(blob) - 1):
            yield {"name": f"{name}, truncated to {length}", "change": {name: blob[:length].hex()}}
        yield {"name": f"{name}, one byte more", "change": {name: blob.hex() + "00"}}
        yield {"name": f"{name}, unknown header", "change": {name: (b"SV\x02" + blob[3:]).hex()}}
        yield {"name": f"{name}, no header", "change": {name: blob[4:].hex()}}
    yield {"name": "unknown key version", "change": {"wrapped_key": (key[:4] + bytes([0, 0, 0, 9]) + key[8:]).hex()}}
    other = envelope("another value", b"another value", 2)
    yield {"name": "another value's data key", "change": {"wrapped_key": other["wrapped_key"]}}


def hkdf(key, purpose, length=32):
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(key)


def local_root():
    root = fixed("root key")
    partner_key = fixed("partner key 3")
    context = aad("partner-key", "ptn_1", "3")
    signing = Ed25519PrivateKey.from_private_bytes(hkdf(root, b"scaivault local root: sign v1"))
    return {
        "file": f"scaivault-local-key v1 production {base64.b64encode(root).decode()}\n",
        "key_id": "local:" + hkdf(root, b"scaivault local root: fingerprint v1", 8).hex(),
        "message": b"a message".hex(),
        "signature": signing.sign(b"a message").hex(),
        "partner_id": "ptn_1",
        "partner_key_version": 3,
        "wrapped_partner_key": wrapped(
            BY_ROOT_KEY, hkdf(root, b"scaivault local root: wrap v1"), 1, partner_key, context, label="partner key"
        ).hex(),
        "tenant_id": "ten_1",
        "wrapped_tenant_keys": {
            str(version): wrapped(
                BY_PARTNER_KEY,
                partner_key,
                3,
                fixed(f"tenant key {version}"),
                aad("tenant-key", "ptn_1", "ten_1", str(version)),
                label=f"tenant key {version}",
            ).hex()
            for version in (1, 2)
        },
    }


def vectors():
    good = [
        envelope("a value", b'{"password":"hunter2"}', 2),
        envelope("an older key", b"old", 1),
        envelope("empty", b"", 2),
    ]
    return {
        "tenant_keys": {str(version): fixed(f"tenant key {version}").hex() for version in (1, 2)},
        "opens": good,
        "fails": list(failures(good[0])),
        "chain": local_root(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
