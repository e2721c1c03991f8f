-- Every finding there ever was: what the newest snapshot that has it says, and where it stands. Dates are cut-offs.
CREATE OR REPLACE VIEW ops.finding WITH (security_invoker = true) AS
WITH life AS (
    SELECT study, finding_id,
        (array_agg(event ORDER BY number DESC))[1] AS last_event,
        (array_agg(cut_off ORDER BY number DESC))[1] AS last_cut_off,
        (array_agg(decision ORDER BY number DESC))[1] AS decision,
        (array_agg(cut_off ORDER BY number) FILTER (WHERE event = 'opened'))[1] AS opened,
        count(*) FILTER (WHERE event = 'reopened') AS reopened
    FROM ops.finding_event
    GROUP BY study, finding_id
), latest AS (
    SELECT DISTINCT ON (one.study, one.finding_id) one.*
    FROM ops.snapshot_finding AS one
    JOIN ops.publication AS published USING (study, snapshot_id)
    ORDER BY one.study, one.finding_id, published.number DESC
)
SELECT life.study, life.finding_id,
    CASE WHEN life.last_event IN ('opened', 'reopened') THEN 'open' ELSE life.last_event END AS status,
    latest.rule, latest.severity, latest.dataset, latest.variable, latest.message, latest.remedy, latest.why,
    latest.cause, latest.who_acts, latest.held, latest.n_records, latest.places, latest.snapshot_id,
    life.opened,
    CASE WHEN life.last_event = 'closed' THEN life.last_cut_off END AS closed,
    life.reopened, life.last_event, life.last_cut_off, life.decision,
    decided.by_person AS decided_by, decided.reason AS decision_reason
FROM life
LEFT JOIN latest USING (study, finding_id)
LEFT JOIN ops.decision AS decided ON decided.study = life.study AND decided.number = life.decision;
COMMENT ON VIEW ops.finding IS 'Every finding there ever was, and where it stands; dates are cut-offs';
GRANT SELECT ON ops.finding TO cairn_writer, cairn_reader;
