"""A bucket's latest traced request: how a slow bucket leads to its trace.

Kept in a file beside the numbers. A record is more than a processor stores at once, so it carries its checksum: one
that was read while it was written, or that a kill cut short, is no exemplar.
"""

import struct
import time
import zlib
from dataclasses import dataclass

_RECORD = struct.Struct("dd16s")
_SUM = struct.Struct("I4x")
RECORD_BYTES = _RECORD.size + _SUM.size
TRACE_BYTES = 16
SUFFIX = ".exemplars"


@dataclass(frozen=True, slots=True)
class Exemplar:
    trace_id: str
    value: float
    timestamp: float

    def __str__(self) -> str:
        """As OpenMetrics writes it behind a bucket."""
        return f' # {{trace_id="{self.trace_id}"}} {self.value!r} {self.timestamp:.3f}'


def pack(trace_id: str, value: float) -> bytes | None:
    """A record for now; None for what is no trace id, so that nothing but sixteen bytes ever gets into a page."""
    try:
        trace = bytes.fromhex(trace_id)
    except ValueError:
        return None
    if not len(trace_id) == 2 * len(trace) == 2 * TRACE_BYTES or not any(trace):
        return None
    content = _RECORD.pack(value, time.time(), trace)
    return content + _SUM.pack(zlib.crc32(content))


def unpack(record: bytes) -> Exemplar | None:
    content = record[: _RECORD.size]
    value, timestamp, trace = _RECORD.unpack(content)
    if not any(trace) or zlib.crc32(content) != _SUM.unpack_from(record, _RECORD.size)[0]:
        return None
    return Exemplar(trace.hex(), value, timestamp)
