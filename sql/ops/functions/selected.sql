-- The records of a dataset on which a condition holds, by number: `dataset` and `source_where` of a row of the results.
-- The condition is run with the rights of the caller and may name the study's datasets without their schema.
CREATE OR REPLACE FUNCTION ops.selected(study text, dataset text, condition text) RETURNS SETOF integer
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relation text := ops.dataset_view(study, dataset);
BEGIN
    IF relation IS NULL THEN
        RAISE EXCEPTION '% has no dataset % in snapshot %', study, dataset, ops.shown(study)
            USING HINT = 'See ops.dataset.';
    END IF;
    PERFORM set_config('search_path', format('pg_catalog, %I, %I', study || '_adam', study || '_sdtm'), true);
    RETURN QUERY EXECUTE format('SELECT record_number FROM %s WHERE (%s) ORDER BY record_number', relation, condition);
END
$$;
GRANT EXECUTE ON FUNCTION ops.selected(text, text, text) TO cairn_writer, cairn_reader;
