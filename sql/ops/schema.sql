-- The history of every study: deliveries, publications, findings, decisions, runs.
CREATE SCHEMA IF NOT EXISTS ops;
COMMENT ON SCHEMA ops IS 'Deliveries, publications, findings, decisions and runs of all studies; append-only';
GRANT USAGE ON SCHEMA ops TO cairn_writer, cairn_reader;
