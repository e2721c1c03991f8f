-- The way back of one value, or of all values of a record: every value it is from, the rule that filled it and the row
-- of the specification, down to lines of raw files. A value is a row, or a row for each line where the way ends at it.
-- `step` numbers the values, nearest first; `read_by` is the step whose rule read it. Read with the rights of the caller.
CREATE OR REPLACE FUNCTION ops.trace(study text, of_dataset text, of_record integer, of_variable text DEFAULT NULL)
RETURNS TABLE (
    step integer, read_by integer, dataset text, record integer, variable text, value text, rule text,
    specification text, ends_in text, file text, line integer, columns text[], sha256 text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    results text := quote_ident(study || '_records');
    -- By step: where it stands, what reads it, what was found there, its ends, whether a rule or a parent leads on.
    datasets text[]; records integer[]; variables text[]; readers integer[];
    found jsonb[] := '{}'; ends jsonb[] := '{}'; leads boolean[] := '{}'; ruled boolean[] := '{}';
    -- What reads what, as pairs of steps; steps and contents of records met, by name.
    above integer[] := '{}'; below integer[] := '{}'; met jsonb := '{}'; contents jsonb := '{}'; relations jsonb := '{}';
    at integer := 0; here text; relation text; record_name text; content jsonb; links jsonb; parts integer[];
    rule_of record; own jsonb; written jsonb; reference text; other text; name text; numbers integer[]; one integer;
    parent text; there boolean; unsettled integer[]; shown jsonb;
BEGIN
    of_dataset := upper(of_dataset);
    relation := ops.dataset_view(study, of_dataset);
    IF relation IS NULL THEN
        RAISE EXCEPTION '% has no dataset % in snapshot %', study, of_dataset, ops.shown(study)
            USING HINT = 'See ops.dataset.';
    END IF;
    SELECT array_agg(of_dataset), array_agg(of_record), array_agg(column_name), array_agg(NULL::integer),
        jsonb_object_agg(concat_ws(' ', of_dataset, of_record, column_name), place)
    INTO datasets, records, variables, readers, met
    FROM (
        SELECT column_name, row_number() OVER (ORDER BY position) AS place
        FROM ops.dataset AS known, jsonb_array_elements(known.columns) WITH ORDINALITY AS entry(written, position),
            LATERAL (SELECT entry.written ->> 'original' AS column_name) AS named
        WHERE known.study = trace.study AND known.snapshot_id = ops.shown(trace.study)
            AND known.name = of_dataset AND known.kind IN ('sdtm', 'adam')
            AND (of_variable IS NULL OR upper(column_name) = upper(of_variable))
        ORDER BY place
    ) AS wanted;
    IF datasets IS NULL THEN
        RAISE EXCEPTION '% has no variable %', of_dataset, of_variable USING HINT = format('\d+ %s', relation);
    END IF;

    WHILE at < cardinality(datasets) LOOP
        at := at + 1;
        record_name := concat_ws(' ', datasets[at], records[at]);
        IF NOT contents ? record_name THEN
            IF NOT relations ? datasets[at] THEN
                SELECT relations || jsonb_build_object(datasets[at], jsonb_build_object(
                    'view', ops.dataset_view(study, datasets[at]), 'analysis', known.kind = 'adam',
                    'names', (SELECT jsonb_agg(entry -> 'original') FROM jsonb_array_elements(known.columns) AS entry)
                )) INTO relations
                FROM ops.dataset AS known
                WHERE known.study = trace.study AND known.snapshot_id = ops.shown(trace.study)
                    AND known.name = datasets[at] AND known.kind IN ('sdtm', 'adam');
            END IF;
            EXECUTE format('SELECT to_jsonb(one) FROM %s AS one WHERE record_number = $1',
                relations -> datasets[at] ->> 'view') INTO content USING records[at];
            IF content IS NULL AND at = 1 THEN
                RAISE EXCEPTION '% has no record %', of_dataset, of_record USING HINT = 'See its record_number.';
            END IF;
            EXECUTE format('SELECT coalesce(jsonb_agg(to_jsonb(one)), ''[]'') FROM ('
                'SELECT variable, kind, source, sha256, source_variable, part, entry_column, entry_file, entry_line, '
                'link.line FROM %s.lineage, unnest(records, lines) AS link(record, line) WHERE dataset = $1 '
                'AND first_record <= $2 AND last_record >= $2 AND link.record = $2) AS one', results)
            INTO links USING datasets[at], records[at];
            contents := contents || jsonb_build_object(record_name, jsonb_build_object('row', content, 'links', links));
        END IF;
        content := contents -> record_name -> 'row';
        links := contents -> record_name -> 'links';
        shown := content -> lower(variables[at]);
        found[at] := jsonb_build_object('value', CASE jsonb_typeof(shown)
            WHEN 'number' THEN trim_scale((shown #>> '{}')::double precision::numeric)::text ELSE shown #>> '{}' END);
        ends[at] := '[]';
        leads[at] := false;
        ruled[at] := false;

        IF datasets[at] LIKE 'SUPP%' THEN
            -- A supplemental qualifier is from its parent: the value from the variable it holds.
            parent := substr(datasets[at], 5);
            name := content ->> 'qnam';
            EXECUTE format('SELECT record_number FROM %s AS one WHERE usubjid = $1 AND ($2 = '''' OR $3 = '''' OR '
                'CASE jsonb_typeof(to_jsonb(one) -> lower($2)) WHEN ''number'' '
                'THEN (to_jsonb(one) ->> lower($2))::double precision = $3::double precision '
                'ELSE to_jsonb(one) ->> lower($2) = $3 END) ORDER BY record_number LIMIT 1',
                ops.dataset_view(study, parent))
            INTO one USING content ->> 'usubjid', coalesce(content ->> 'idvar', ''), coalesce(content ->> 'idvarval', '');
            IF one IS NOT NULL THEN
                -- Long text continues in further qualifiers, which are numbered.
                LOOP
                    EXECUTE format('SELECT EXISTS (SELECT FROM %s.specification WHERE dataset = $1 AND variable = $2)', results)
                    INTO there USING parent, name;
                    EXIT WHEN there OR variables[at] <> 'QVAL' OR name !~ '[0-9]$';
                    name := left(name, -1);
                END LOOP;
                name := CASE variables[at] WHEN 'QVAL' THEN name WHEN 'STUDYID' THEN 'STUDYID'
                    WHEN 'IDVARVAL' THEN coalesce(content ->> 'idvar', 'USUBJID') ELSE 'USUBJID' END;
                found[at] := found[at] || jsonb_build_object('rule', 'qualifier of ' || parent, 'file', '');
                written := jsonb_build_array(jsonb_build_array(parent, one, name));
            ELSE
                written := NULL;
            END IF;
        ELSE
            written := NULL;
        END IF;

        IF written IS NULL THEN
            SELECT coalesce(array_agg(DISTINCT (link ->> 'part')::integer), '{}') INTO parts
            FROM jsonb_array_elements(links) AS link WHERE link ->> 'part' IS NOT NULL;
            EXECUTE format('SELECT * FROM %s.specification WHERE dataset = $1 AND variable = $2 '
                'AND (part IS NULL OR part = ANY ($3)) ORDER BY record_number LIMIT 1', results)
            INTO rule_of USING datasets[at], variables[at], parts;
            IF rule_of.dataset IS NULL THEN
                found[at] := found[at] || jsonb_build_object('rule', 'nothing fills it in this record', 'file', '');
                CONTINUE;
            END IF;
            ruled[at] := true;
            found[at] := found[at] || jsonb_build_object('rule', rule_of.rule, 'file', rule_of.file);
            SELECT coalesce(jsonb_agg(link), '[]') INTO own FROM jsonb_array_elements(links) AS link
            WHERE link ->> 'variable' IS NULL;
            SELECT coalesce(jsonb_agg(DISTINCT to_jsonb(leaf)), '[]') INTO shown
            FROM ops.leaves(rule_of.kind, rule_of.file, rule_of.collected, own) AS leaf;
            ends[at] := shown;
            leads[at] := shown <> '[]';
            SELECT coalesce(jsonb_agg(link), '[]') INTO own FROM jsonb_array_elements(links) AS link
            WHERE link ->> 'variable' = variables[at] AND link ->> 'kind' = 'record';
            written := '[]';
            FOREACH reference IN ARRAY rule_of.inputs LOOP
                IF reference LIKE '%.%' THEN
                    other := split_part(reference, '.', 1);
                    name := substr(reference, length(other) + 2);
                    SELECT array_agg((link ->> 'line')::integer) INTO numbers FROM jsonb_array_elements(own) AS link
                    WHERE link ->> 'source' = other AND coalesce(link ->> 'source_variable', name) = name;
                    IF numbers IS NULL THEN
                        SELECT array_agg((link ->> 'line')::integer) INTO numbers
                        FROM jsonb_array_elements(links) AS link
                        WHERE link ->> 'variable' IS NULL AND link ->> 'kind' = 'record' AND link ->> 'source' = other;
                    END IF;
                    IF numbers IS NULL AND other IN ('DM', 'ADSL')
                        AND (own = '[]' OR (relations -> datasets[at] ->> 'analysis')::boolean) THEN
                        EXECUTE format('SELECT array_agg(record_number) FROM %s WHERE usubjid = $1',
                            ops.dataset_view(study, other)) INTO numbers USING content ->> 'usubjid';
                    END IF;
                    SELECT written || coalesce(jsonb_agg(jsonb_build_array(other, number, name)), '[]') INTO written
                    FROM unnest(numbers) AS number;
                    CONTINUE;
                END IF;
                SELECT jsonb_agg(jsonb_build_array(datasets[at], link -> 'line', reference)) INTO shown
                FROM jsonb_array_elements(own) AS link
                WHERE link ->> 'source' = datasets[at] AND link ->> 'source_variable' = reference;
                IF shown IS NOT NULL THEN
                    written := written || shown;
                    CONTINUE;
                END IF;
                EXECUTE format('SELECT EXISTS (SELECT FROM %s.specification WHERE dataset = $1 AND variable = $2)', results)
                INTO there USING datasets[at], reference;
                IF there OR relations -> datasets[at] -> 'names' ? reference THEN
                    written := written || jsonb_build_array(jsonb_build_array(datasets[at], records[at], reference));
                END IF;
            END LOOP;
        END IF;

        FOR shown IN SELECT DISTINCT entry FROM jsonb_array_elements(written) AS entry LOOP
            here := concat_ws(' ', shown ->> 0, shown ->> 1, shown ->> 2);
            IF NOT met ? here THEN
                datasets := datasets || (shown ->> 0);
                records := records || (shown ->> 1)::integer;
                variables := variables || (shown ->> 2);
                readers := readers || at;
                met := met || jsonb_build_object(here, cardinality(datasets));
            END IF;
            above := above || at;
            below := below || (met ->> here)::integer;
        END LOOP;
    END LOOP;

    -- A value that leads to no line at all ends in the specification that says it: those deepest first.
    LOOP
        LOOP
            SELECT array_agg(DISTINCT above[pair]) INTO unsettled FROM generate_subscripts(above, 1) AS pair
            WHERE leads[below[pair]] AND NOT leads[above[pair]];
            EXIT WHEN unsettled IS NULL;
            FOREACH one IN ARRAY unsettled LOOP leads[one] := true; END LOOP;
        END LOOP;
        SELECT array_agg(place) INTO unsettled FROM generate_series(1, cardinality(datasets)) AS place
        WHERE ruled[place] AND NOT leads[place] AND NOT EXISTS (
            SELECT FROM generate_subscripts(above, 1) AS pair
            WHERE above[pair] = place AND below[pair] <> place AND NOT leads[below[pair]]
                AND (ruled[below[pair]] OR datasets[below[pair]] LIKE 'SUPP%'));
        IF unsettled IS NULL THEN
            SELECT array_agg(place) INTO unsettled FROM generate_series(1, cardinality(datasets)) AS place
            WHERE ruled[place] AND NOT leads[place];
        END IF;
        EXIT WHEN unsettled IS NULL;
        FOREACH one IN ARRAY unsettled LOOP
            leads[one] := true;
            ends[one] := jsonb_build_array(jsonb_build_object('kind', 'specification', 'file', found[one] -> 'file'));
        END LOOP;
    END LOOP;

    RETURN QUERY
    SELECT place, readers[place], datasets[place], records[place], variables[place], found[place] ->> 'value',
        found[place] ->> 'rule', found[place] ->> 'file', leaf.kind, leaf.file, leaf.line,
        coalesce(leaf.columns, '{}'), coalesce(leaf.sha256, '')
    FROM generate_series(1, cardinality(datasets)) AS place
    LEFT JOIN LATERAL jsonb_to_recordset(ends[place])
        AS leaf(kind text, file text, line integer, columns text[], sha256 text) ON true
    ORDER BY place, leaf.kind, leaf.file, leaf.line;
END
$$;
GRANT EXECUTE ON FUNCTION ops.trace(text, text, integer, text) TO cairn_writer, cairn_reader;
