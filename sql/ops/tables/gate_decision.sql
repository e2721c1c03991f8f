-- Decisions about dose cohorts and subjects that a snapshot holds, from the form and from the decision log.
CREATE TABLE IF NOT EXISTS ops.gate_decision (
    study text NOT NULL,
    snapshot_id text NOT NULL,
    decision_id text NOT NULL,
    scope text NOT NULL,
    cohort text,
    usubjid text,
    meeting_dt date,
    data_cutoff_dt date,
    outcome text,
    n_observed bigint,
    n_dlt bigint,
    recorded_in text NOT NULL,
    signed_by text,
    decision int,
    based_on text,
    PRIMARY KEY (study, snapshot_id, decision_id)
);
COMMENT ON TABLE ops.gate_decision IS 'Decisions about dose cohorts and subjects that a snapshot holds';
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.gate_decision
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
ALTER TABLE ops.gate_decision ENABLE ALWAYS TRIGGER append_only;
GRANT SELECT ON ops.gate_decision TO cairn_writer, cairn_reader;
GRANT INSERT ON ops.gate_decision TO cairn_writer;
