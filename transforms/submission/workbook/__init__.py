"""The specification as a workbook: what it says of the datasets to submit, before there are any."""
