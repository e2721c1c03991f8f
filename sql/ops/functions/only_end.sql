-- Of a run only its end is written, once: not who began it, nor when.
CREATE OR REPLACE FUNCTION ops.only_end() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_user <> 'cairn_owner' OR OLD.ended_at IS NOT NULL
        OR (OLD.study, OLD.run_id, OLD.started_at, OLD.started_by)
            IS DISTINCT FROM (NEW.study, NEW.run_id, NEW.started_at, NEW.started_by)
    THEN
        RAISE EXCEPTION 'ops.run is append-only: run % of % is ended once, by ops.end_run', OLD.run_id, OLD.study
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
