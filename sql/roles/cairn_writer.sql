-- Loads and publishes: owns the data, may only add to the history in ops.
-- It has no password of its own: the embedded server gives it one, elsewhere an administrator does.
DO $$
BEGIN
    IF to_regrole('cairn_writer') IS NULL THEN
        CREATE ROLE cairn_writer LOGIN;
        COMMENT ON ROLE cairn_writer IS 'Loads and publishes: owns the data, may only add to the history in ops.';
    END IF;
END
$$;
