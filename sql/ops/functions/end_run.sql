-- The end of a run, at the server's clock; a run that has ended stays as it is.
CREATE OR REPLACE FUNCTION ops.end_run(study text, run_id text, outcome text, snapshot_id text, message text)
RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE ops.run AS one
    SET ended_at = clock_timestamp(), outcome = $3, snapshot_id = $4, message = $5
    WHERE one.study = $1 AND one.run_id = $2 AND one.ended_at IS NULL
$$;
GRANT EXECUTE ON FUNCTION ops.end_run(text, text, text, text, text) TO cairn_writer;
