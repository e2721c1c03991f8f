-- Owns ops and the schemas of the studies; rebuilds ops from the logs.
-- It has no password of its own: the embedded server gives it one, elsewhere an administrator does.
DO $$
BEGIN
    IF to_regrole('cairn_owner') IS NULL THEN
        CREATE ROLE cairn_owner LOGIN;
        COMMENT ON ROLE cairn_owner IS 'Owns ops and the schemas of the studies; rebuilds ops from the logs.';
    END IF;
END
$$;
