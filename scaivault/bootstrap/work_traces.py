"""What a worker's spans say: ids, codes and counts. No path, no address and no name, which may tell of secrets."""

import time
from dataclasses import dataclass, replace

from scaivault.features.events.model.webhooks import DueDelivery, Outcome
from scaivault.features.events.store.lanes import Lane
from scaivault.kernel.caller import Caller
from scaivault.kernel.calls import OnWork
from scaivault.workers.duties import Duty


@dataclass(frozen=True, slots=True)
class WorkTraces:
    """Tells `on_work` of a worker's duties, and of each delivery and renewal in the trace of what caused it."""

    on_work: OnWork

    def over(self, duty: Duty) -> Duty:
        """The same duty, told of when it has done something or failed: most looks find nothing to do."""

        def run() -> int:
            began, details = time.perf_counter(), {"scaivault.job": duty.name}
            try:
                how_much = duty.run()
            except Exception as failure:
                self.on_work("job", began, None, type(failure).__name__, **details)
                raise
            if how_much:
                self.on_work("job", began, None, None, **details, **{"scaivault.count": how_much})
            return how_much

        return replace(duty, run=run)

    def attempted(self, lane: Lane, delivery: DueDelivery, outcome: Outcome) -> None:
        """An attempt at a delivery, in the trace of the request that its event is of."""
        details: dict[str, str | int] = {
            "scaivault.tenant_id": lane.tenant_id,
            "scaivault.webhook_id": lane.webhook_id,
            "scaivault.event_type": delivery.event_type,
            "scaivault.request_id": delivery.request_id,
            "scaivault.attempt": delivery.attempts + 1,
        }
        if outcome.response_code is not None:
            details["http.response.status_code"] = outcome.response_code
        began = time.perf_counter() - outcome.duration_ms / 1_000
        self.on_work("delivery", began, delivery.trace_id, None if outcome.is_success else outcome.fault, **details)

    def renewed(self, caller: Caller, how_many: int, reason: str | None) -> None:
        """Secrets that were renewed together, in the trace that their events and audit rows have."""
        details: dict[str, str | int] = {
            "scaivault.tenant_id": caller.tenant_id,
            "scaivault.request_id": caller.origin.request_id,
            "scaivault.count": how_many,
        }
        self.on_work("rotation", caller.origin.started, caller.origin.trace_id, reason, **details)
