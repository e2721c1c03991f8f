"""From staged extracts to SDTM datasets, by the study's specification."""
