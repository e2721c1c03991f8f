#!/bin/sh
# Run once by the PostgreSQL image, as the server's owner, when its volume is empty: one database and one role for
# Airflow's metadata, one of each for Cairn. Passwords come from the environment and are on no command line.
set -eu

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv airflow_password AIRFLOW_DB_PASSWORD
\getenv cairn_password CAIRN_DB_PASSWORD

CREATE ROLE airflow LOGIN PASSWORD :'airflow_password';
CREATE DATABASE airflow OWNER airflow;
REVOKE ALL ON DATABASE airflow FROM PUBLIC;

-- Cairn makes its own schemas and the roles that read them.
CREATE ROLE cairn LOGIN CREATEROLE PASSWORD :'cairn_password';
ALTER ROLE cairn SET createrole_self_grant = 'set, inherit';
CREATE DATABASE cairn OWNER cairn;
REVOKE ALL ON DATABASE cairn FROM PUBLIC;
GRANT CONNECT ON DATABASE cairn TO PUBLIC;
SQL
