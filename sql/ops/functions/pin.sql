-- From now on this session sees one snapshot, whatever is published; pruning keeps it until ops.unpin. Returns its study.
CREATE OR REPLACE FUNCTION ops.pin(snapshot text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_study text;
BEGIN
    SELECT one.study INTO its_study FROM ops.publication AS one WHERE one.snapshot_id = snapshot LIMIT 1;
    IF its_study IS NULL THEN
        RAISE EXCEPTION 'snapshot % was never published', snapshot USING HINT = 'See ops.publication.';
    END IF;
    PERFORM set_config('cairn.pin_' || md5(its_study), snapshot, false);
    PERFORM ops.shown(its_study);
    INSERT INTO ops.pin (snapshot_id, study) VALUES (snapshot, its_study) ON CONFLICT DO NOTHING;
    RETURN its_study;
END
$$;
GRANT EXECUTE ON FUNCTION ops.pin(text) TO cairn_writer, cairn_reader;
