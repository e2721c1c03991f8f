-- Which content of sql/ was applied last.
CREATE TABLE IF NOT EXISTS ops.installation (
    only_row bool PRIMARY KEY DEFAULT true CHECK (only_row),
    content text NOT NULL
);
COMMENT ON TABLE ops.installation IS 'The hash of the SQL that was applied last';
GRANT SELECT ON ops.installation TO cairn_writer, cairn_reader;
