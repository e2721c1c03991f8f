-- Snapshots that somebody works with: pruning keeps them. Written by ops.pin and ops.unpin alone.
CREATE TABLE IF NOT EXISTS ops.pin (
    snapshot_id text NOT NULL,
    study text NOT NULL,
    pinned_by name NOT NULL DEFAULT session_user,
    pinned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (study, snapshot_id, pinned_by)
);
COMMENT ON TABLE ops.pin IS 'Snapshots that somebody works with: pruning keeps them';
GRANT SELECT ON ops.pin TO cairn_writer, cairn_reader;
