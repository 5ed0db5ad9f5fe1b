"""A PKCS#11 token for tests: SoftHSM, whose tokens are folders."""

import itertools
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pkcs11
from pkcs11 import Attribute, KeyType
from pkcs11.util.ec import encode_named_curve_parameters

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "hunter2-pin"
ROOT_LABEL = "scaivault root"
_SO_PIN = "so-hunter2"
_numbers = itertools.count(1)


@dataclass
class Token:
    """One token; `folder` holds its object files, and moving it away is pulling the token out."""

    label: str
    folder: Path
    away: Path
    pin_file: Path

    def pull(self):
        """Take the token out. The library notices by the objects that are no longer there."""
        shutil.move(self.folder, self.away)

    def plug(self):
        shutil.move(self.away, self.folder)

    def session(self):
        """A log-in of the test's own; every other session of this process is closed by it."""
        library = pkcs11.lib(str(LIBRARY))
        library.reinitialize()
        return library.get_token(token_label=self.label).open(rw=True, user_pin=PIN)

    def add_root(self, label=ROOT_LABEL, bits=256, **template):
        settled = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
        given = {Attribute[name.upper()]: value for name, value in template.items()}
        session = self.session()
        session.generate_key(KeyType.AES, bits, label=label, store=True, template=settled | given)
        session.close()

    def add_signing_key(self, label=ROOT_LABEL + "-sign", kind="EC"):
        """The public key's attributes: (EC point) or (modulus, exponent)."""
        session = self.session()
        if kind == "EC":
            curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
            maker = session.create_domain_parameters(KeyType.EC, curve, local=True)
            public, _ = maker.generate_keypair(label=label, store=True)
            shown = public[Attribute.EC_POINT]
        else:
            public, _ = session.generate_keypair(KeyType.RSA, 2048, label=label, store=True)
            shown = public[Attribute.MODULUS], public[Attribute.PUBLIC_EXPONENT]
        session.close()
        return shown


def make_token(tokens: Path, folder: Path) -> Token:
    """A fresh token below `tokens`, the folder that SOFTHSM2_CONF names, and its PIN file in `folder`."""
    label = f"token {next(_numbers)}"
    before = set(tokens.iterdir())
    command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", _SO_PIN]
    subprocess.run(command, check=True, capture_output=True)
    (made,) = set(tokens.iterdir()) - before
    pin_file = folder / "pin"
    pin_file.write_text(PIN + "\n")
    return Token(label, made, folder / "away", pin_file)
