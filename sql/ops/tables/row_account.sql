-- What became of the rows of every file.
CREATE TABLE IF NOT EXISTS ops.row_account (
    study text NOT NULL,
    snapshot_id text NOT NULL,
    ordinal int NOT NULL,
    stage text,
    source text,
    file text,
    sha256 text,
    dataset text,
    outcome text,
    rule text,
    rows bigint,
    PRIMARY KEY (study, snapshot_id, ordinal)
);
COMMENT ON TABLE ops.row_account IS 'What became of the rows of every file';
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.row_account
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
ALTER TABLE ops.row_account ENABLE ALWAYS TRIGGER append_only;
GRANT SELECT ON ops.row_account TO cairn_writer, cairn_reader;
GRANT INSERT ON ops.row_account TO cairn_writer;
