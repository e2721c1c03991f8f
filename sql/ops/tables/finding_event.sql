-- The life of findings: opened, answered, waived, closed, reopened.
CREATE TABLE IF NOT EXISTS ops.finding_event (
    study text NOT NULL,
    number int NOT NULL,
    finding_id text NOT NULL,
    event text NOT NULL CHECK (event IN ('opened', 'closed', 'reopened', 'answered', 'waived')),
    publication int,
    snapshot_id text,
    cut_off date,
    decision int,
    PRIMARY KEY (study, number)
);
COMMENT ON TABLE ops.finding_event IS 'The life of findings: opened, answered, waived, closed, reopened';
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.finding_event
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
ALTER TABLE ops.finding_event ENABLE ALWAYS TRIGGER append_only;
GRANT SELECT ON ops.finding_event TO cairn_writer, cairn_reader;
GRANT INSERT ON ops.finding_event TO cairn_writer;
