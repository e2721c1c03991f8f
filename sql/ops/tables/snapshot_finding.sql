-- The findings of every published snapshot.
CREATE TABLE IF NOT EXISTS ops.snapshot_finding (
    study text NOT NULL,
    snapshot_id text NOT NULL,
    finding_id text NOT NULL,
    rule text,
    severity text,
    dataset text,
    variable text,
    message text,
    remedy text,
    why text,
    cause text,
    who_acts text,
    held bool,
    n_records bigint,
    places jsonb,
    PRIMARY KEY (study, snapshot_id, finding_id)
);
COMMENT ON TABLE ops.snapshot_finding IS 'The findings of every published snapshot';
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.snapshot_finding
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
ALTER TABLE ops.snapshot_finding ENABLE ALWAYS TRIGGER append_only;
GRANT SELECT ON ops.snapshot_finding TO cairn_writer, cairn_reader;
GRANT INSERT ON ops.snapshot_finding TO cairn_writer;
