"""Submission: SDTM and ADaM of a snapshot as the files a regulator receives, and the checks of these files."""
