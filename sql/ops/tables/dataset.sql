-- Which datasets lie in the database, for every snapshot that was loaded: a row is written with its data, in one step.
CREATE TABLE IF NOT EXISTS ops.dataset (
    study text NOT NULL,
    snapshot_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('sdtm', 'adam', 'results')),
    name text NOT NULL,
    label text NOT NULL,
    rows bigint NOT NULL,
    keys jsonb NOT NULL,
    columns jsonb NOT NULL,
    parent text NOT NULL,
    partition text NOT NULL,
    PRIMARY KEY (study, snapshot_id, kind, name)
);
COMMENT ON TABLE ops.dataset IS 'The datasets that lie in the database: label, rows, keys and columns, by snapshot';
GRANT SELECT ON ops.dataset TO cairn_writer, cairn_reader;
GRANT INSERT, DELETE ON ops.dataset TO cairn_writer;
