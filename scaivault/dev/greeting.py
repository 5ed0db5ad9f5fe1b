"""What `make run` leaves for its user: a file to source and words to read."""

import shlex

from scaivault.dev import processes
from scaivault.dev.issuer import CLIENT_ID, Issuer
from scaivault.dev.plan import Plan
from scaivault.dev.seed import Tokens
from scaivault.settings import Settings


def write_env(plan: Plan, settings: Settings, tokens: Tokens, issuer: Issuer | None) -> None:
    """`. .dev/env` gives a shell, and through it curl, all it needs."""
    values = {
        "SCAIVAULT_URL": api_url(settings),
        "SCAIVAULT_TOKEN": tokens.administrator,
        "SCAIVAULT_READER_TOKEN": tokens.reader,
        "SCAIVAULT_OPS_URL": f"http://{settings.ops_bind_address.reachable}",
        "SCAIVAULT_EXPORTER_URL": f"http://{settings.exporter_bind_address.reachable}",
        "SCAIVAULT_WORKER_URL": f"http://{settings.worker_ops_bind_address.reachable}",
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
    }
    if issuer is not None:
        values["SCAIKEY_URL"] = issuer.url
        values["SCAIKEY_CLIENT_ID"] = CLIENT_ID
        values["SCAIKEY_CLIENT_SECRET"] = issuer.client_secret(CLIENT_ID)
    lines = [f"export {name}={shlex.quote(text)}\n" for name, text in values.items()]
    processes.write_private(plan.env_file, "".join(lines))


def words(plan: Plan, settings: Settings) -> str:
    """Where everything listens, and three commands to paste."""
    env = shlex.quote(str(plan.env_file))
    return f"""
ScaiVault is ready.

  API        {api_url(settings)}
  health     http://{settings.ops_bind_address.reachable}/v1/health/ready (and /v1/metrics)
  exporter   http://{settings.exporter_bind_address.reachable}/metrics
  worker     http://{settings.worker_ops_bind_address.reachable}/v1/health/ready (and /v1/metrics)
  logs       {plan.logs}
  tokens     {plan.env_file}

Paste into another shell: write a secret, read it, see who did.

  . {env} && curl -sS -X PUT "$SCAIVAULT_URL/v1/secrets/app/db" -H "Authorization: Bearer $SCAIVAULT_TOKEN" \\
      -H 'Content-Type: application/json' -d '{{"secret_type": "json", "data": {{"password": "correct horse"}}}}'
  . {env} && curl -sS "$SCAIVAULT_URL/v1/secrets/app/db" -H "Authorization: Bearer $SCAIVAULT_READER_TOKEN"
  . {env} && curl -sS "$SCAIVAULT_URL/v1/audit/logs?limit=5" -H "Authorization: Bearer $SCAIVAULT_TOKEN"

Ctrl-C stops everything; `make run` finds it all again."""


def api_url(settings: Settings) -> str:
    """The API as this machine reaches it."""
    scheme = "https" if settings.tls_cert_file else "http"
    return f"{scheme}://{settings.bind_address.reachable}"
