"""One attempt: signed, sent, and what came of it."""

from scaivault.features.events.model.told import USER_AGENT
from scaivault.features.events.model.webhooks import DueDelivery, Outcome, Trouble
from scaivault.features.events.service.secrets import SigningSecrets, signature
from scaivault.kernel.ports import Clock
from scaivault.outbound.posts import Failure, Poster

_TROUBLES = {
    Failure.UNREACHABLE: Trouble.UNREACHABLE,
    Failure.TLS_FAILED: Trouble.TLS_FAILED,
    Failure.TIMEOUT: Trouble.TIMEOUT,
}


class Postman:
    """Sends deliveries as the contract says, to whoever may be sent to."""

    def __init__(self, poster: Poster, clock: Clock) -> None:
        self._poster = poster
        self._clock = clock

    def attempt(self, url: str, secrets: SigningSecrets, delivery: DueDelivery) -> Outcome:
        """Send it once, signed as of now."""
        body = delivery.body.encode()
        timestamp = int(self._clock.now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "X-ScaiVault-Event-Id": delivery.event_id,
            "X-ScaiVault-Event-Type": delivery.event_type,
            "X-ScaiVault-Timestamp": str(timestamp),
            "X-ScaiVault-Signature": signature(secrets.newest, timestamp, body),
        }
        if secrets.previous is not None:
            headers["X-ScaiVault-Signature-Previous"] = signature(secrets.previous, timestamp, body)
        answer = self._poster.post(url, body, headers)
        trouble = None if answer.failure is None else _TROUBLES[answer.failure]
        return Outcome(answer.status, trouble, round(answer.seconds * 1_000, 3))
