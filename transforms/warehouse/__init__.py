"""Where things are kept: the raw store, snapshots and their Parquet files."""
