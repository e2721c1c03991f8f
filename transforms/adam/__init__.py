"""From SDTM datasets to analysis datasets, by the study's specification."""
