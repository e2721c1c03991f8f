"""Faults as data: what goes wrong in real deliveries, planted in a landing folder. SYNTHETIC - NOT PATIENT DATA.

A list of faults (YAML) names general operations, the file and rows they touch, and the findings they must or
may raise. See README.md beside the package for the words.
"""

from .apply import Expected, apply_faults, expected_bytes
from .model import BUILT_IN, Fault, FaultError, Faults

__all__ = ["BUILT_IN", "Expected", "Fault", "FaultError", "Faults", "apply_faults", "expected_bytes"]
