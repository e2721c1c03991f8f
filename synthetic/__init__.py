"""Generator of synthetic raw extracts of the reference study. SYNTHETIC - NOT PATIENT DATA.

See README.md for the files, their columns and their formats.
"""

from .delivery import Delivery, Formats, generate, generate_series

__all__ = ["Delivery", "Formats", "generate", "generate_series"]
