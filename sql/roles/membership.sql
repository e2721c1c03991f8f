-- Whoever installs, unless a superuser, acts as the owner and the writer by SET ROLE, and hands out the reader.
DO $$
DECLARE
    role name;
BEGIN
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RETURN;
    END IF;
    FOREACH role IN ARRAY ARRAY['cairn_owner', 'cairn_writer', 'cairn_reader']::name[] LOOP
        IF NOT (pg_has_role(current_user, role, 'SET') AND pg_has_role(current_user, role, 'USAGE')) THEN
            EXECUTE format('GRANT %I TO %I WITH SET TRUE, INHERIT TRUE', role, current_user);
        END IF;
    END LOOP;
END
$$;
