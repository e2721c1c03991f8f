"""A study as it is written down: its sources, datasets and tables, read, checked and frozen."""

from transforms.study.load import Study

__all__ = ["Study"]
