-- The schemas of a study: the writer fills them, the reader sees the views and cannot name what lies beneath.
CREATE OR REPLACE FUNCTION ops.add_study(study text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part text;
    schema text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('cairn study'), hashtext(study));
    FOREACH part IN ARRAY ARRAY['store', 'sdtm', 'adam', 'results', 'records'] LOOP
        schema := study || '_' || part;
        IF octet_length(schema) > 63 THEN
            RAISE EXCEPTION 'schema % is longer than 63 bytes', schema USING ERRCODE = 'name_too_long';
        END IF;
        IF EXISTS (SELECT FROM pg_namespace WHERE nspname = schema AND nspowner = 'cairn_owner'::regrole) THEN
            CONTINUE;
        END IF;
        EXECUTE format('CREATE SCHEMA %I', schema);
        EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO cairn_writer', schema);
        IF part <> 'store' THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO cairn_reader', schema);
        END IF;
        EXECUTE format('COMMENT ON SCHEMA %I IS %L', schema, CASE part
            WHEN 'store' THEN 'All snapshots of study ' || study || '; read the views of its other schemas'
            ELSE 'The current snapshot of study ' || study || ', or the one pinned: ' || part END);
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION ops.add_study(text) TO cairn_writer;
