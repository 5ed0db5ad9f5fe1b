"""What the worker does so that secrets renew themselves."""

from scaivault.features.rotation.service.scheduler import RotationScheduler
from scaivault.features.rotation.service.upkeep import Upkeep


def rotate(scheduler: RotationScheduler) -> int:
    return scheduler.run()


def rotate_costly(scheduler: RotationScheduler) -> int:
    return scheduler.run_costly()


def settle(upkeep: Upkeep) -> int:
    return upkeep.run()


def forget(upkeep: Upkeep) -> int:
    return upkeep.forget()
