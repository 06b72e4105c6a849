"""Which integers floats hold exactly."""

from typing import Final

EXACT_INTEGERS: Final = 2**53
"""From here on, up or down, a float64 may stand for several integers."""

EXACT_SINGLE_INTEGERS: Final = 2**24
"""Likewise of a float32."""
