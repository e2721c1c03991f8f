-- The pointer: which snapshot of a study is current. Publishing changes this one row.
CREATE TABLE IF NOT EXISTS ops.pointer (
    study text PRIMARY KEY,
    snapshot_id text NOT NULL,
    publication int NOT NULL
);
COMMENT ON TABLE ops.pointer IS 'Which snapshot of a study is current';
GRANT SELECT ON ops.pointer TO cairn_writer, cairn_reader;
GRANT INSERT, UPDATE (snapshot_id, publication) ON ops.pointer TO cairn_writer;
