-- Nobody but the owner makes schemas, nobody makes temporary tables, and only a superuser makes large objects, which
-- PostgreSQL otherwise lets every role do.
DO $$
DECLARE
    one regprocedure;
BEGIN
    EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO cairn_owner, cairn_writer, cairn_reader', current_database());
    EXECUTE format('GRANT CREATE ON DATABASE %I TO cairn_owner', current_database());
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        FOR one IN
            SELECT oid FROM pg_proc
            WHERE pronamespace = 'pg_catalog'::regnamespace AND proname IN ('lo_creat', 'lo_create', 'lo_from_bytea')
        LOOP
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', one);
        END LOOP;
    END IF;
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- What the writer makes can be read; partitions cannot be named by the reader, who may not use the schemas they are in.
ALTER DEFAULT PRIVILEGES FOR ROLE cairn_writer GRANT SELECT ON TABLES TO cairn_reader, cairn_owner;
ALTER DEFAULT PRIVILEGES FOR ROLE cairn_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
