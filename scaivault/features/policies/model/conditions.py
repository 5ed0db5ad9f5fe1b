"""Circumstances that narrow when a rule applies: from where, how well proven, and when. All of them must hold."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import NotRequired, TypedDict
from zoneinfo import ZoneInfo, available_timezones

from scaivault.features.policies.errors import InvalidPolicy
from scaivault.kernel.durations import parse_duration

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_IP_RANGES = 100
MFA_MAX_AGE = timedelta(minutes=15)
CLOCK_SKEW = timedelta(seconds=60)

_CIDR = re.compile(r"[0-9A-Fa-f.:]{2,45}/[0-9]{1,3}", re.ASCII)
_TIME_OF_DAY = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00", re.ASCII)
_LAST_MINUTE = 24 * 60
_MAPPED_IPV4 = IPv6Network("::ffff:0:0/96")
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_DAYS_FORM = "A time window's days are some of mon to sun, each at most once."
# Not places: the one is whatever this machine is set to, the other means that nobody has set it.
_NOT_ZONES = frozenset({"localtime", "Factory"})


class Condition(StrEnum):
    """A condition by its field's name, as `failed_condition` shows it."""

    IP_RANGES = "ip_ranges"
    REQUIRE_MFA = "require_mfa"
    TIME_WINDOW = "time_window"


class Day(StrEnum):
    """In the order of `datetime.weekday()`."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


DAYS = tuple(Day)


class TimeWindowJson(TypedDict):
    days: list[str]
    start: str
    end: str
    timezone: str


class ConditionsJson(TypedDict):
    ip_ranges: NotRequired[list[str] | None]
    require_mfa: NotRequired[bool]
    mfa_max_age: NotRequired[str | None]
    time_window: NotRequired[TimeWindowJson | None]


@dataclass(frozen=True, slots=True)
class Context:
    """The circumstances of one request; what is not known holds no condition."""

    now: datetime
    source_ip: Address | None
    mfa_verified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """From one minute of the day until just before another, by the zone's own clocks.

    A window that ends earlier than it starts runs past midnight and belongs to the day on which it began.
    """

    days: tuple[Day, ...]
    start_minute: int
    end_minute: int
    zone: ZoneInfo

    def holds(self, now: datetime) -> bool:
        local = now.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
        if self.start_minute < self.end_minute:
            return today in self.days and self.start_minute <= minute < self.end_minute
        if minute >= self.start_minute:
            return today in self.days
        return minute < self.end_minute and yesterday in self.days

    @classmethod
    def from_json(cls, form: TimeWindowJson) -> "TimeWindow":
        window = cls(
            days=tuple(_day(name) for name in form["days"]),
            start_minute=_minute(form["start"]),
            end_minute=_minute(form["end"]),
            zone=_zone(form["timezone"]),
        )
        if not window.days or len(set(window.days)) != len(window.days):
            raise InvalidPolicy(_DAYS_FORM)
        if window.start_minute in (_LAST_MINUTE, window.end_minute):
            raise InvalidPolicy("A time window has a start and an end that differ; a whole day is 00:00 to 24:00.")
        return window

    def as_json(self) -> TimeWindowJson:
        return {
            "days": [day.value for day in self.days],
            "start": _minute_text(self.start_minute),
            "end": _minute_text(self.end_minute),
            "timezone": self.zone.key,
        }


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must hold for a rule to apply. Without any, it always does."""

    ip_ranges: tuple[Network, ...] = ()
    mfa_max_age: timedelta | None = None
    time_window: TimeWindow | None = None

    def failed(self, context: Context) -> Condition | None:
        """The first condition that does not hold, or None."""
        if self.ip_ranges and not _within(self.ip_ranges, context.source_ip):
            return Condition.IP_RANGES
        if self.mfa_max_age is not None and not _is_fresh(context, self.mfa_max_age):
            return Condition.REQUIRE_MFA
        if self.time_window is not None and not self.time_window.holds(context.now):
            return Condition.TIME_WINDOW
        return None

    @classmethod
    def from_json(cls, form: ConditionsJson) -> "Conditions":
        """InvalidPolicy, or InvalidDuration, if a condition means nothing."""
        ip_ranges, window = form.get("ip_ranges"), form.get("time_window")
        return cls(
            ip_ranges=() if ip_ranges is None else _ip_ranges(ip_ranges),
            mfa_max_age=_mfa_max_age(form),
            time_window=None if window is None else TimeWindow.from_json(window),
        )

    def as_json(self) -> ConditionsJson:
        return {
            "ip_ranges": [str(network) for network in self.ip_ranges] or None,
            "require_mfa": self.mfa_max_age is not None,
            "mfa_max_age": None if self.mfa_max_age is None else _duration_text(self.mfa_max_age),
            "time_window": None if self.time_window is None else self.time_window.as_json(),
        }


ALWAYS = Conditions()


def _within(networks: tuple[Network, ...], address: Address | None) -> bool:
    if address is None:
        return False
    # One client, one address: ::ffff:10.0.0.1 is 10.0.0.1, whichever socket it came in by.
    plain = (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
    return any(plain in network for network in networks)


def _is_fresh(context: Context, most: timedelta) -> bool:
    if context.mfa_verified_at is None:
        return False
    # The identity provider's clock may run a little ahead of ours.
    return -CLOCK_SKEW <= context.now - context.mfa_verified_at <= most


def _ip_ranges(texts: list[str]) -> tuple[Network, ...]:
    if not 1 <= len(texts) <= MAX_IP_RANGES:
        raise InvalidPolicy(f"ip_ranges has 1 to {MAX_IP_RANGES} ranges.")
    return tuple(_network(text) for text in texts)


def _network(text: str) -> Network:
    if _CIDR.fullmatch(text) is None:
        raise InvalidPolicy("An IP range is an address, '/' and a prefix length, such as 10.0.0.0/8 or 2001:db8::/32.")
    try:
        network = ip_network(text)
    except ValueError:
        raise InvalidPolicy(f"{text} is not an IP range: check the address, the length and the host bits.") from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED_IPV4):
        raise InvalidPolicy(f"{text} stands for IPv4 addresses: write it as an IPv4 range.")
    return network


def _mfa_max_age(form: ConditionsJson) -> timedelta | None:
    text = form.get("mfa_max_age")
    if form.get("require_mfa", False):
        return MFA_MAX_AGE if text is None else parse_duration(text)
    if text is not None:
        raise InvalidPolicy("mfa_max_age says nothing without require_mfa.")
    return None


def _day(name: str) -> Day:
    try:
        return Day(name)
    except ValueError:
        raise InvalidPolicy(_DAYS_FORM) from None


def _minute(text: str) -> int:
    if _TIME_OF_DAY.fullmatch(text) is None:
        raise InvalidPolicy("A time window's start and end are times of day such as 09:00; the end may be 24:00.")
    return int(text[:2]) * 60 + int(text[3:])


def _minute_text(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _zone(name: str) -> ZoneInfo:
    # Only listed names: the library would look for any other one in the file system.
    if name not in _zones():
        raise InvalidPolicy("A time window's timezone is an IANA name, such as Europe/Berlin.")
    return ZoneInfo(name)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - _NOT_ZONES


def _duration_text(duration: timedelta) -> str:
    seconds = int(duration.total_seconds())
    return next(f"{seconds // size}{unit}" for unit, size in _UNITS if seconds % size == 0)
