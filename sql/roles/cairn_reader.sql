-- Reads what is published.
-- It has no password of its own: the embedded server gives it one, elsewhere an administrator does.
DO $$
BEGIN
    IF to_regrole('cairn_reader') IS NULL THEN
        CREATE ROLE cairn_reader LOGIN;
        COMMENT ON ROLE cairn_reader IS 'Reads what is published.';
    END IF;
END
$$;

-- One transaction sees one publication, over however many tables.
ALTER ROLE cairn_reader SET default_transaction_isolation = 'repeatable read';
