-- What people decided, and who recorded it when.
CREATE TABLE IF NOT EXISTS ops.decision (
    study text NOT NULL,
    number int NOT NULL,
    act text NOT NULL,
    target jsonb,
    by_person text NOT NULL,
    reason text NOT NULL,
    previous_hash text,
    hash text,
    recorded_by text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (study, number)
);
COMMENT ON TABLE ops.decision IS 'What people decided, and who recorded it when';
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.decision
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
ALTER TABLE ops.decision ENABLE ALWAYS TRIGGER append_only;
GRANT SELECT ON ops.decision TO cairn_writer, cairn_reader;
-- Who and when are those of the decision log: the owner alone writes them, so that the writer cannot make them up.
REVOKE INSERT ON ops.decision FROM cairn_writer;
