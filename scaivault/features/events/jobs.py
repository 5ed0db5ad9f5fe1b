"""What the worker does for those who listen."""

from scaivault.features.events.service.courier import Courier
from scaivault.features.events.service.dispatch import Dispatcher
from scaivault.features.events.service.retention import Retention


def dispatch(dispatcher: Dispatcher) -> int:
    return dispatcher.run()


def deliver(courier: Courier) -> int:
    return courier.run()


def forget(retention: Retention) -> int:
    return retention.run()
