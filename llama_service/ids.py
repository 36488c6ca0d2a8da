"""Identifiers that sort by the time of their making, so that indexes grow at one end."""

import os
import time
from uuid import UUID


def new_id() -> UUID:
    """Return a UUID of version 7 (RFC 9562): 48 bits of Unix milliseconds, then random bits."""
    value = int.from_bytes(os.urandom(16), "big") & ((1 << 80) - 1)
    value |= (time.time_ns() // 1_000_000) << 80
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)
