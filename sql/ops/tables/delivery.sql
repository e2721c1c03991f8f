-- Every file ever received, accepted or refused.
CREATE TABLE IF NOT EXISTS ops.delivery (
    study text NOT NULL,
    number int NOT NULL,
    delivery text,
    source text,
    file text,
    sha256 text,
    bytes bigint,
    rows bigint,
    extracted_at text,
    accepted bool,
    rule text,
    problem text,
    remedy text,
    archive text,
    PRIMARY KEY (study, number)
);
ALTER TABLE ops.delivery ADD COLUMN IF NOT EXISTS archive text;
COMMENT ON COLUMN ops.delivery.archive IS 'sha256 of the .zip it came in, empty for a file that lay in landing itself';
COMMENT ON TABLE ops.delivery IS 'Every file ever received, accepted or refused';
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.delivery
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
ALTER TABLE ops.delivery ENABLE ALWAYS TRIGGER append_only;
GRANT SELECT ON ops.delivery TO cairn_writer, cairn_reader;
GRANT INSERT ON ops.delivery TO cairn_writer;
