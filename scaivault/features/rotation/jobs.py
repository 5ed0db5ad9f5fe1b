"""What the worker does so that secrets renew themselves."""

from scaivault.features.rotation.service.scheduler import RotationScheduler
from scaivault.features.rotation.service.upkeep import Upkeep


def rotate(scheduler: RotationScheduler) -> int:
    return scheduler.run()


def settle(upkeep: Upkeep) -> int:
    return upkeep.run()


def forget(upkeep: Upkeep) -> int:
    return upkeep.forget()
