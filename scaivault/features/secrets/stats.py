"""How many secrets there are, as the database keeps count (migration 0010)."""

from dataclasses import dataclass

from prometheus_client.core import Metric

from scaivault.observability.catalogue.features import SECRETS, SECRETS_TOTAL
from scaivault.observability.catalogue.vocabulary import CAP, OVERFLOW
from scaivault.observability.exposition import gauge
from scaivault.storage.database import Session


@dataclass(frozen=True, slots=True)
class _Count:
    tenant: str
    live: int


def live_secrets(session: Session) -> list[Metric]:
    """Live secrets of the tenants that have most, and of all others together. Costs by the tenants, not the secrets."""
    counts = session.many(
        _Count,
        """
        WITH counts AS (
            SELECT tenants.id AS tenant_id, coalesce(counted.live, 0) AS live
              FROM tenants
              LEFT JOIN (SELECT tenant_id, sum(live)::bigint AS live FROM secret_counts GROUP BY tenant_id) AS counted
                     ON counted.tenant_id = tenants.id
        ), ranked AS (
            SELECT tenant_id, live, row_number() OVER (ORDER BY live DESC, tenant_id) AS place FROM counts
        )
        SELECT CASE WHEN place <= %(most)s THEN tenant_id ELSE %(others)s END AS tenant, sum(live)::bigint AS live
          FROM ranked
         GROUP BY 1
        """,
        most=CAP,
        others=OVERFLOW,
    )
    rows = [((count.tenant,), float(count.live)) for count in counts]
    return [gauge(SECRETS_TOTAL, rows), gauge(SECRETS, rows)]
