-- Every run, with the clock: the one thing that cannot be made anew from the logs.
CREATE TABLE IF NOT EXISTS ops.run (
    study text NOT NULL,
    run_id text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_by name NOT NULL DEFAULT session_user,
    ended_at timestamptz,
    outcome text,
    snapshot_id text,
    message text,
    PRIMARY KEY (study, run_id)
);
COMMENT ON TABLE ops.run IS 'Every run, with the clock: the one thing that cannot be made anew from the logs';
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON ops.run
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
ALTER TABLE ops.run ENABLE ALWAYS TRIGGER append_only;
CREATE OR REPLACE TRIGGER only_end BEFORE UPDATE ON ops.run FOR EACH ROW EXECUTE FUNCTION ops.only_end();
ALTER TABLE ops.run ENABLE ALWAYS TRIGGER only_end;
GRANT SELECT ON ops.run TO cairn_writer, cairn_reader;
GRANT INSERT (study, run_id) ON ops.run TO cairn_writer;
