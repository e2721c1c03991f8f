-- The ends of the way at one value: lines of raw files with the columns read, and places in the specification.
-- `links` are those of the whole record, as a JSON array of rows of lineage with their line.
CREATE OR REPLACE FUNCTION ops.leaves(rule_kind text, specification text, collected text[], links jsonb)
RETURNS TABLE (kind text, file text, line integer, columns text[], sha256 text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH link AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(links) AS one(
            kind text, source text, sha256 text, line integer, source_variable text,
            entry_column text, entry_file text, entry_line integer
        )
    ),
    besides AS (SELECT DISTINCT source_variable AS source FROM link WHERE link.kind = 'raw' AND source_variable IS NOT NULL),
    -- What the rule reads: a column of the extract, of a source read besides, or a cell of the table that spreads a row.
    reads AS MATERIALIZED (
        SELECT place, name,
            CASE WHEN name LIKE '%.%' THEN split_part(name, '.', 1) ELSE '' END AS source,
            name LIKE 'each.%' AS of_entry,
            name NOT LIKE 'each.%' OR name = 'each.value' OR name LIKE 'each.column.%' AS of_extract
        FROM unnest(collected) WITH ORDINALITY AS one(name, place)
    ),
    named AS (
        SELECT link.kind, link.source AS file, link.line, link.sha256, link.source_variable, link.entry_file,
            link.entry_line, link.source_variable IN (SELECT source FROM besides) AS is_besides, reads.*,
            CASE
                WHEN name = 'each.value' THEN link.entry_column
                WHEN of_entry THEN 'named by ' || regexp_replace(name, '^each\.(column\.)?', '')
                ELSE name
            END AS column_name
        FROM link CROSS JOIN reads
    )
    SELECT 'specification', specification, NULL::integer, '{}'::text[], '' WHERE collected = '{}' AND rule_kind = 'collected'
    UNION ALL
    SELECT 'specification', source, line, '{}', '' FROM link
    WHERE collected = '{}' AND rule_kind = 'automatic' AND link.kind = 'specification'
    UNION ALL
    SELECT DISTINCT 'specification', file, line, '{FROM,TO}'::text[], '' FROM named
    WHERE named.kind = 'correction' AND source_variable = column_name
    UNION ALL
    SELECT named.kind, file, line, array_agg(substr(name, strpos(name, '.') + 1) ORDER BY place), coalesce(sha256, '')
    FROM named WHERE named.kind <> 'correction' AND is_besides AND named.source = source_variable
    GROUP BY named.kind, file, line, sha256
    UNION ALL
    SELECT named.kind, file, line, array_agg(column_name ORDER BY place), coalesce(sha256, '')
    FROM named WHERE named.kind <> 'correction' AND is_besides IS NOT TRUE AND of_extract
        AND named.source NOT IN (SELECT source FROM besides)
    GROUP BY named.kind, file, line, sha256
    UNION ALL
    SELECT 'specification', entry_file, entry_line,
        coalesce(array_agg(regexp_replace(name, '^.*\.', '') ORDER BY place) FILTER (WHERE name <> 'each.value'), '{}'), ''
    FROM named WHERE named.kind NOT IN ('correction', 'superseded') AND is_besides IS NOT TRUE AND of_entry
    GROUP BY file, line, entry_file, entry_line
$$;
GRANT EXECUTE ON FUNCTION ops.leaves(text, text, text[], jsonb) TO cairn_writer, cairn_reader;
