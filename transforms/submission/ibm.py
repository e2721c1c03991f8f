"""Numbers of a transport file: IBM System/360 double precision, and SAS missing values.

Sign, a power of 16 biased by 64, and 56 bits of fraction: (-1)^s * 0.f * 16^(e - 64). An IEEE double has 53 bits, and
normalising to a power of 16 takes at most 3 more, so every double between 16^-65 and 16^63 is held exactly and nothing
is rounded. Outside that range there is no representation. Zero has no sign: -0.0 becomes 0.
Source: SAS technical support document TS-140, Numeric Data Fields.
"""

from __future__ import annotations

import numpy as np

BYTES = 8
SMALLEST = 16.0**-65
BEYOND = 16.0**63
MISSING = ord(".") << 56
SPECIAL = {f".{letter}": ord(letter) << 56 for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"}
SIGN = np.uint64(1 << 63)
FRACTION = np.uint64((1 << 52) - 1)
HIDDEN = np.uint64(1 << 52)


def out_of_range(values: np.ndarray) -> np.ndarray:
    """True for the doubles that have no representation: too large, infinite, or too near to zero."""
    magnitude = np.abs(values)
    flagged: np.ndarray = (magnitude >= BEYOND) | ((magnitude < SMALLEST) & (magnitude > 0))
    return flagged


def from_ieee(values: np.ndarray) -> np.ndarray:
    """Doubles within range as IBM doubles (`uint64`, most significant byte first when written); NaN is missing."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.uint64)
    # The value is fraction / 2^53 * 2^exponent; here the exponent plus 3, so that dividing by 4 rounds up.
    power = ((bits >> np.uint64(52)) & np.uint64(0x7FF)).astype(np.int64) - 1019
    fraction = ((bits & FRACTION) | HIDDEN) << (power & 3).astype(np.uint64)
    result: np.ndarray = (bits & SIGN) | (((power >> 2) + 64).astype(np.uint64) << np.uint64(56)) | fraction
    result[values == 0] = 0
    result[np.isnan(values)] = MISSING
    return result
