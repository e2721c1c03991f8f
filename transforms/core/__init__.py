"""Dates, numbers and text columns: what every stage needs and no stage owns."""
