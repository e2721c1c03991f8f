-- History is not changed: rows are added, never altered or removed, but by the owner's rebuild from the logs.
CREATE OR REPLACE FUNCTION ops.refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_user = 'cairn_owner' AND current_setting('cairn.rebuild', true) = 'on' AND TG_TABLE_NAME <> 'run' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'ops.% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'A correction is a new row; `cairn rebuild` makes ops anew from the logs.';
END
$$;
