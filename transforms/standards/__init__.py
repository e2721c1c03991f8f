"""What CDISC publishes, as data: datasets, variables and controlled terminology."""

from transforms.standards.models import Codelist, DatasetStandard, Standards, VariableStandard

__all__ = ["Codelist", "DatasetStandard", "Standards", "VariableStandard"]
