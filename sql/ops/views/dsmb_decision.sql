-- The decisions about dose cohorts and subjects that are current: those of the form and, with who and when, of the log.
CREATE OR REPLACE VIEW ops.dsmb_decision WITH (security_invoker = true) AS
SELECT one.study, one.decision_id, one.scope, one.cohort, one.usubjid, one.meeting_dt, one.data_cutoff_dt, one.outcome,
    one.n_observed, one.n_dlt, one.recorded_in, one.signed_by, recorded.recorded_at AS signed_at,
    recorded.reason, one.decision, one.based_on, one.snapshot_id
FROM ops.gate_decision AS one
JOIN ops.pointer AS current_one USING (study, snapshot_id)
LEFT JOIN ops.decision AS recorded ON recorded.study = one.study AND recorded.number = one.decision;
COMMENT ON VIEW ops.dsmb_decision IS 'Decisions about dose cohorts and subjects that are current';
GRANT SELECT ON ops.dsmb_decision TO cairn_writer, cairn_reader;
