"""Every command of the README's five minutes, in its order, in one shell, against what `make run` starts."""

import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.deploy.test_dev_supervisor import READY, Dev, free_ports_of_dev

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"<!-- run(?:: (?P<expected>.*?))? -->\n```sh\n(?P<commands>.*?)```", re.DOTALL)
BLOCKS = [(match["commands"], match["expected"]) for match in BLOCK.finditer(README.read_text())]
END = "--- end of block ---"


def test_every_shell_block_is_run_or_is_the_two_commands():
    assert README.read_text().count("```sh") == len(BLOCKS) + 1
    assert len(BLOCKS) > 5


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme") / "dev"
    dev = Dev(folder, **free_ports_of_dev()).await_words(READY)
    try:
        yield run_blocks(folder)
    finally:
        dev.end(signal.SIGTERM)


def run_blocks(folder):
    script = "\n".join(f"{commands}echo '{END}'" for commands, _ in BLOCKS).replace(".dev/", f"{folder}/")
    done = subprocess.run(["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split(END)


@pytest.mark.parametrize(("number", "expected"), [(n, expected) for n, (_, expected) in enumerate(BLOCKS) if expected])
def test_each_block_shows_what_the_readme_says(outputs, number, expected):
    assert expected in outputs[number]


def test_no_command_met_an_error_that_the_readme_does_not_speak_of(outputs):
    told = re.compile(r'"code": ?"(access_denied|insufficient_scope|rate_limited)"')
    assert all(told.search(line) for output in outputs for line in output.splitlines() if '"error":' in line)
