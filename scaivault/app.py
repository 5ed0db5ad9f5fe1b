"""The API as one Flask application: tables, hooks, error table. No logic."""

from collections.abc import Callable
from typing import Any

from flask import Flask

from scaivault.bootstrap.services import Services
from scaivault.edge.context import RequestContext
from scaivault.edge.dispatch import IdConverter, SecretPathConverter, blueprint, categories


class _SyncFlask(Flask):
    """Flask without the search for coroutines, which looks at every hook of every request: there are none."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def create_app(services: Services) -> Flask:
    """A WSGI application over services that need not be open yet."""
    app = _application(services)
    if services.tracing is not None:
        from scaivault.edge.tracing import Doors, instrumented  # noqa: PLC0415 - loads the Flask instrumentation

        traced = instrumented(_application(services), services.tracing)
        app.wsgi_app = Doors(app.wsgi_app, traced.wsgi_app, services.tracing)  # type: ignore[method-assign]
    return app


def _application(services: Services) -> Flask:
    app = _SyncFlask("scaivault", static_folder=None)
    # One address, one spelling: nothing is merged, redirected or guessed on the way to a policy.
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    app.url_map.converters["default"] = IdConverter
    app.url_map.converters["secret"] = SecretPathConverter
    context = RequestContext(services.origins, services.instruments, services.log, categories(services.tables))
    context.install(app)
    for table in services.tables:
        app.register_blueprint(blueprint(table, services.limits, services.on_refusal))
    return app
