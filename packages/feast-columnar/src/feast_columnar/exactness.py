"""Which integers a float64 holds exactly."""

from typing import Final

EXACT_INTEGERS: Final = 2**53
"""From here on, up or down, a float64 may stand for several integers."""
