"""The schema as one file, made of the migrations by the database that ran them.

`python -m tests.contract.schema` writes scaivault/storage/schema.sql anew, after a migration was added.
"""

import re
import subprocess
import tempfile
from pathlib import Path

from scaivault.dev import postgres
from scaivault.storage import migrate

FILE = Path(migrate.__file__).with_name("schema.sql")
HEAD = """\
-- The whole schema: what all migrations come to. Made by `python -m tests.contract.schema`; never edited, never run.
-- Left out: the months of the audit trail, which are made as time passes, and the migration library's own tables.
"""
_LEFT_OUT = ("audit_log_20*", "*yoyo*")
_NOISE = re.compile(r"^(?:--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(?:un)?restrict .*)\n", re.MULTILINE)


def dump(url: str) -> str:
    """The schema of a migrated database, without what differs between two dumps of the same one."""
    address, _, password = _without_password(url)
    command = [postgres.binary("pg_dump"), "--schema-only", "--no-owner", "--no-privileges"]
    command += [f"--exclude-table={pattern}" for pattern in _LEFT_OUT]
    done = subprocess.run([*command, address], check=True, capture_output=True, text=True, env={"PGPASSWORD": password})
    return HEAD + "\n" + re.sub(r"\n{3,}", "\n\n", _NOISE.sub("", done.stdout)).strip() + "\n"


def _without_password(url: str) -> tuple[str, str, str]:
    """On a command line every user of the machine could read it."""
    match = re.fullmatch(r"(postgresql://)([^:]+):([^@]+)(@.+)", url)
    if match is None:
        raise ValueError("not the URL of an embedded server")
    return match[1] + match[2] + match[4], match[2], match[3]


def main() -> None:
    """Write the file, from a server of our own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = postgres.start(folder / "postgres", folder / "postgres.log", postgres.FAST)
        try:
            migrate.apply(server.url())
            FILE.write_text(dump(server.url()), encoding="utf-8")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
