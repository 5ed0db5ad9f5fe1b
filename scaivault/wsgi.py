"""The API as a WSGI application. Built at import, opened after the fork: see gunicorn_conf."""

from scaivault.app import create_app
from scaivault.bootstrap.api import build
from scaivault.settings import Settings

services = build(Settings.from_env())
app = create_app(services)
