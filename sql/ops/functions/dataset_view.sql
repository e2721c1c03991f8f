-- The view of an SDTM or analysis dataset with its record numbers, in the snapshot that this session sees, quoted; null
-- where there is none.
CREATE OR REPLACE FUNCTION ops.dataset_view(study text, dataset text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%I.%I', one.study || '_records', lower(one.name))
    FROM ops.dataset AS one
    WHERE one.study = dataset_view.study AND one.snapshot_id = ops.shown(dataset_view.study)
        AND one.kind IN ('sdtm', 'adam') AND one.name = upper(dataset_view.dataset)
    ORDER BY one.kind DESC
    LIMIT 1
$$;
GRANT EXECUTE ON FUNCTION ops.dataset_view(text, text) TO cairn_writer, cairn_reader;
