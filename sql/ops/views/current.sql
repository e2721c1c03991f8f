-- What is current: one row per study that was published.
CREATE OR REPLACE VIEW ops.current WITH (security_invoker = true) AS
SELECT one.study, one.publication, one.snapshot_id, what.studyid, what.cut_off, what.placement, what.specification,
    what.standards, what.code
FROM ops.pointer AS one
LEFT JOIN ops.snapshot AS what USING (study, snapshot_id);
COMMENT ON VIEW ops.current IS 'What is current: one row per study';
GRANT SELECT ON ops.current TO cairn_writer, cairn_reader;
