"""Analysis results: from analysis datasets and results/*.yml to one row for each statistic."""
