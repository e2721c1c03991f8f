"""Cairn's transforms: from raw extracts to SDTM, ADaM and the package a regulator receives."""
