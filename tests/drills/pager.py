"""Whom Alertmanager tells: a webhook receiver that knows which alerts fire, and since when."""

from dataclasses import dataclass

from tests.receiver import Receiver

FIRING, RESOLVED = "firing", "resolved"


@dataclass(frozen=True)
class Notice:
    """One alert in one notification."""

    name: str
    labels: frozenset
    status: str
    at: float


class Pager:
    """Alertmanager's webhook. What is awaited here was delivered, not only decided."""

    def __init__(self):
        self._receiver = Receiver("")
        self.url = self._receiver.url

    def close(self):
        self._receiver.close()

    def notices(self, since=0.0):
        """All that was told, oldest first; `since` in Unix seconds."""
        return [notice for notice in _notices(self._receiver.received) if notice.at >= since]

    def firing(self):
        """The names of the alerts that fire now."""
        return _firing(self._receiver.received)

    def await_news(self, check, seconds):
        """Wait until `check` holds, which is asked after each notification; whether it does."""
        return self._receiver.wait(lambda _received: check(), seconds)

    def await_firing(self, names, seconds):
        """Wait until these fire and nothing else; what fires then."""
        self._receiver.wait(lambda received: _firing(received) == set(names), seconds)
        return self.firing()


def _notices(received):
    for each in received:
        for alert in each.event["alerts"]:
            labels = dict(alert["labels"])
            yield Notice(labels.pop("alertname"), frozenset(labels.items()), alert["status"], each.at)


def _firing(received):
    state = {(notice.name, notice.labels): notice.status for notice in _notices(received)}
    return {name for (name, _), status in state.items() if status == FIRING}
