-- The raw lines that are held, by file, line and rule; never what they say.
CREATE TABLE IF NOT EXISTS ops.quarantine (
    study text NOT NULL,
    snapshot_id text NOT NULL,
    source text NOT NULL,
    file text,
    sha256 text NOT NULL,
    line bigint NOT NULL,
    rule text NOT NULL,
    finding_id text,
    PRIMARY KEY (study, snapshot_id, source, sha256, line, rule)
);
COMMENT ON TABLE ops.quarantine IS 'The raw lines that are held, by file, line and rule; never what they say';
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.quarantine
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
ALTER TABLE ops.quarantine ENABLE ALWAYS TRIGGER append_only;
GRANT SELECT ON ops.quarantine TO cairn_writer, cairn_reader;
GRANT INSERT ON ops.quarantine TO cairn_writer;
