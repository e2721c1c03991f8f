-- What each view of a study was made of, so that publishing touches only views that change.
CREATE TABLE IF NOT EXISTS ops.data_view (
    study text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    columns jsonb NOT NULL,
    content text NOT NULL,
    PRIMARY KEY (study, kind, name)
);
COMMENT ON TABLE ops.data_view IS 'What the views of the studies were made of';
GRANT SELECT ON ops.data_view TO cairn_writer, cairn_reader;
GRANT INSERT, UPDATE, DELETE ON ops.data_view TO cairn_writer;
