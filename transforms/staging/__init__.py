"""From text columns to staged columns: types, identity, duplicates, revisions, and every row accounted for."""
