-- This session sees the current snapshots again, and its role's pins on what it saw are taken off.
CREATE OR REPLACE FUNCTION ops.unpin() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one_study text;
BEGIN
    FOR one_study IN SELECT one.study FROM ops.pointer AS one LOOP
        DELETE FROM ops.pin AS one
        WHERE one.study = one_study AND one.pinned_by = session_user
            AND one.snapshot_id = current_setting('cairn.pin_' || md5(one_study), true);
        PERFORM set_config('cairn.pin_' || md5(one_study), '', false);
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION ops.unpin() TO cairn_writer, cairn_reader;

-- The role's pin on one snapshot is taken off, also one that an earlier session left.
CREATE OR REPLACE FUNCTION ops.unpin(snapshot text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_study text;
BEGIN
    FOR its_study IN
        DELETE FROM ops.pin AS one
        WHERE one.snapshot_id = snapshot AND one.pinned_by = session_user RETURNING one.study
    LOOP
        IF current_setting('cairn.pin_' || md5(its_study), true) = snapshot THEN
            PERFORM set_config('cairn.pin_' || md5(its_study), '', false);
        END IF;
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION ops.unpin(text) TO cairn_writer, cairn_reader;
