"""Write what in helm/scaivault follows from other files: `python -m tools.chart`, a part of `make docs`.

- `files/`: copies of the rules and the dashboards, since Helm reads nothing outside of a chart; where runbooks are
- `values.schema.json`: what `config` takes, from the settings
- `README.md`: the table of values, from the comments in values.yaml
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from scaivault.kernel import durations
from scaivault.settings import RATE_LIMIT_PREFIX, SECRETS, Settings, variables
from tools.monitoring.runbooks import RUNBOOK_BASE

CHECKOUT: Final = Path(__file__).parents[1]
CHART: Final = CHECKOUT / "helm" / "scaivault"
COPIED: Final = (("prometheus-rules", "*.yaml"), ("grafana", "*.json"))
TABLE: Final = re.compile(r"(?<=<!-- values -->\n).*(?=<!-- end of values -->)", re.DOTALL)

# Settings with a place of their own in values.yaml, since the chart has to act on them, or none at all.
NOT_IN_CONFIG: Final[Mapping[str, str]] = {
    **{name: f"secrets.{name}: a file, from a Secret" for name in SECRETS},
    **{name: "kms" for name in variables() if name.startswith("KMS_")},
    **{name: "previousKms" for name in variables() if name.startswith("PREVIOUS_KMS_")},
    "BIND_ADDRESS": "listenHost and api.port",
    "OPS_BIND_ADDRESS": "listenHost and api.opsPort",
    "WORKER_OPS_BIND_ADDRESS": "listenHost and worker.opsPort",
    "EXPORTER_BIND_ADDRESS": "listenHost and exporter.port",
    "TLS_CERT_FILE": "tls.existingSecret",
    "TLS_KEY_FILE": "tls.existingSecret",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "otlpCa",
    "WORKERS_EXPECTED": "worker.replicas",
    "METRICS_DIR": "nothing: it is a volume of the pod's own",
}

# As far as a pattern can say it: that no bit is set behind the prefix, the server sees.
BYTE: Final = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
NETWORK: Final = (
    rf"({BYTE}([.]{BYTE}){{3}}(/(3[0-2]|[12]?[0-9]))?"
    "|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?)"
)


@dataclass(frozen=True, slots=True)
class Value:
    """A row of the table."""

    path: str
    default: str
    meaning: str


def files() -> dict[str, str]:
    """All that this writes, by its path below the chart."""
    copies = {
        f"files/{folder}/{file.name}": file.read_text(encoding="utf-8")
        for folder, pattern in COPIED
        for file in sorted((CHECKOUT / folder).glob(pattern))
    }
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    values = (CHART / "values.yaml").read_text(encoding="utf-8")
    return copies | {
        "files/runbook-base": f"{RUNBOOK_BASE}\n",
        "values.schema.json": _schema(json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))),
        "README.md": TABLE.sub(lambda _: _table(values), readme),
    }


def config() -> dict[str, Any]:
    """What `config` takes, as a JSON schema's properties."""
    single = {
        name.upper(): _property(field)
        for name, field in Settings.model_fields.items()
        if name != "rate_limits" and name.upper() not in NOT_IN_CONFIG
    }
    limit = {"type": "integer", "minimum": 1, "maximum": 1_000_000_000}
    return single | {name: limit for name in variables() if name.startswith(RATE_LIMIT_PREFIX)}


def _property(field: FieldInfo) -> dict[str, Any]:
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    whole = TypeAdapter(annotation).json_schema()
    told: dict[str, Any] = next((each for each in whole.get("anyOf", []) if each["type"] != "null"), whole)
    if told["type"] == "array":
        return {"type": "string", "pattern": f"^({NETWORK}( *, *{NETWORK})*)?$"}
    if told.get("format") == "duration":
        return {"type": "string", "pattern": f"^({durations.FORM.pattern})?$"}
    return {key: value for key, value in told.items() if key not in {"description", "title"}}


def _schema(schema: dict[str, Any]) -> str:
    schema["properties"]["config"]["properties"] = config()
    ours = [*variables(), *(f"{name}_FILE" for name in SECRETS)]
    schema["$defs"]["ours"]["enum"] = ours
    return json.dumps(schema, indent=2) + "\n"


def _table(values: str) -> str:
    rows = [f"| `{row.path}` | {_code(row.default)} | {row.meaning} |\n" for row in rows_of(values)]
    return "| value | default | meaning |\n|---|---|---|\n" + "".join(rows)


def _code(default: str) -> str:
    return f"`{default}`" if default not in {"", '""'} else ""


def rows_of(values: str) -> Iterator[Value]:
    """Every value that has a comment above it. What is written below a value without comments is its default."""
    lines = [line for line in values.splitlines() if line.strip()]
    path: list[str] = []
    meaning = ""
    for number, line in enumerate(lines):
        text = line.strip()
        if text.startswith("# "):
            meaning = text.removeprefix("# ")
            continue
        name, _, default = text.partition(":")
        path = [*path[: (len(line) - len(line.lstrip())) // 2], name]
        if meaning and not (number == 1 and meaning.startswith("The table")):
            yield Value(".".join(path), default.strip() or _below(lines, number), meaning)
        meaning = ""


def _below(lines: list[str], number: int) -> str:
    depth = len(lines[number]) - len(lines[number].lstrip())
    below = []
    for line in lines[number + 1 :]:
        if len(line) - len(line.lstrip()) <= depth:
            break
        below.append(line.strip())
    return "" if any(text.startswith("# ") for text in below) else ", ".join(below)


def main() -> None:
    """Write them, and take copies away of what is no more."""
    written = files()
    for folder, pattern in COPIED:
        for old in (CHART / "files" / folder).glob(pattern):
            if f"files/{folder}/{old.name}" not in written:
                old.unlink()
    for name, text in written.items():
        (CHART / name).parent.mkdir(parents=True, exist_ok=True)
        (CHART / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
