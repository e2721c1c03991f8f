-- Which snapshot was current, in which order, and how much of the logs it covers.
CREATE TABLE IF NOT EXISTS ops.publication (
    study text NOT NULL,
    number int NOT NULL,
    snapshot_id text NOT NULL,
    cut_off date,
    deliveries int,
    decisions int,
    decisions_hash text,
    PRIMARY KEY (study, number)
);
COMMENT ON TABLE ops.publication IS 'Which snapshot was current, in which order, and how much of the logs it covers';
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.publication
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
ALTER TABLE ops.publication ENABLE ALWAYS TRIGGER append_only;
GRANT SELECT ON ops.publication TO cairn_writer, cairn_reader;
GRANT INSERT ON ops.publication TO cairn_writer;
