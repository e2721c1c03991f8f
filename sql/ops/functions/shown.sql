-- The snapshot of a study that this session sees: its pin, else the current one; null before the first publication.
-- It holds the snapshot until the transaction ends, so that pruning waits, and fails where pruning was first.
CREATE OR REPLACE FUNCTION ops.shown(study text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    chosen text := nullif(current_setting('cairn.pin_' || md5(study), true), '');
    marker text;
BEGIN
    IF chosen IS NULL THEN
        SELECT one.snapshot_id INTO chosen FROM ops.pointer AS one WHERE one.study = shown.study;
        IF chosen IS NULL THEN
            RETURN NULL;
        END IF;
    ELSIF NOT EXISTS (
        SELECT FROM ops.publication AS one WHERE one.study = shown.study AND one.snapshot_id = chosen
    ) THEN
        RAISE EXCEPTION 'snapshot % of % was never published', chosen, study USING HINT = 'SELECT ops.unpin().';
    END IF;
    marker := format('%I.%I', study || '_store', 'snapshot_' || chosen);
    IF to_regclass(marker) IS NULL THEN
        RAISE EXCEPTION 'snapshot % of % was deleted', chosen, study
            USING HINT = 'End the transaction and, if the snapshot is pinned, SELECT ops.unpin().';
    END IF;
    EXECUTE 'SELECT FROM ' || marker;
    RETURN chosen;
END
$$;
GRANT EXECUTE ON FUNCTION ops.shown(text) TO cairn_writer, cairn_reader;
