-- What every published snapshot is made of.
CREATE TABLE IF NOT EXISTS ops.snapshot (
    study text NOT NULL,
    snapshot_id text NOT NULL,
    studyid text,
    cut_off date,
    placement text,
    specification text,
    standards jsonb,
    code text,
    datasets jsonb,
    files jsonb,
    PRIMARY KEY (study, snapshot_id)
);
COMMENT ON TABLE ops.snapshot IS 'What every published snapshot is made of';
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.snapshot
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
ALTER TABLE ops.snapshot ENABLE ALWAYS TRIGGER append_only;
GRANT SELECT ON ops.snapshot TO cairn_writer, cairn_reader;
GRANT INSERT ON ops.snapshot TO cairn_writer;
