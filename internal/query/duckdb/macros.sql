-- Functions of Trino (Athena) that DuckDB lacks or means otherwise, so that one
-- query text gives one answer on both. Each line is one statement.

-- JSON in text. Trino gives NULL for what is no scalar, and for text that is no JSON.
CREATE MACRO json_extract_scalar(j, p) AS CASE WHEN j IS NULL OR NOT json_valid(j) OR json_type(j, p) IN ('OBJECT', 'ARRAY') THEN NULL ELSE json_extract_string(j, p) END;
CREATE MACRO json_parse(j) AS CAST(j AS JSON);
CREATE MACRO json_format(j) AS CAST(j AS VARCHAR);
CREATE MACRO json_size(j, p) AS CASE WHEN j IS NULL OR NOT json_valid(j) OR json_type(j, p) IS NULL THEN NULL WHEN json_type(j, p) = 'ARRAY' THEN CAST(json_array_length(j, p) AS BIGINT) WHEN json_type(j, p) = 'OBJECT' THEN len(json_keys(j, p)) ELSE 0 END;

-- Text. A part that isn't there is NULL; DuckDB's own split_part says ''.
CREATE MACRO split_part(s, d, n) AS string_split(s, d)[n];
CREATE MACRO regexp_like(s, p) AS regexp_matches(s, p);
CREATE MACRO url_extract_host(u) AS regexp_extract(u, '^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]*)', 1);
CREATE MACRO levenshtein_distance(a, b) AS levenshtein(a, b);

-- Counting. Both estimate; the estimates of two engines differ.
CREATE MACRO approx_distinct(x) AS approx_count_distinct(x);

-- Time. Trino's date_diff counts whole units between two instants; DuckDB's own
-- (still there as datediff) counts the boundaries crossed.
CREATE MACRO date_diff(unit, a, b) AS date_sub(unit, a, b);
CREATE MACRO from_unixtime(s) AS make_timestamp(CAST(CAST(s AS DOUBLE) * 1000000 AS BIGINT));
CREATE MACRO to_unixtime(t) AS epoch(t);
CREATE MACRO from_iso8601_timestamp(s) AS CAST(CAST(s AS TIMESTAMPTZ) AS TIMESTAMP);
CREATE MACRO from_iso8601_date(s) AS CAST(s AS DATE);
CREATE MACRO to_iso8601(t) AS strftime(t, '%Y-%m-%dT%H:%M:%S.%g');
CREATE MACRO day_of_week(t) AS isodow(t);
CREATE MACRO day_of_month(t) AS dayofmonth(t);
CREATE MACRO day_of_year(t) AS dayofyear(t);
CREATE MACRO year_of_week(t) AS isoyear(t);
CREATE MACRO date_format(t, f) AS strftime(t, replace(replace(replace(f, '%i', '%M'), '%s', '%S'), '%T', '%H:%M:%S'));

-- Lists and maps.
CREATE MACRO element_at(c, k) AS c[k];
CREATE MACRO array_join(a, d) AS array_to_string(a, d);
CREATE MACRO array_max(a) AS list_max(a);
CREATE MACRO array_min(a) AS list_min(a);
CREATE MACRO arrays_overlap(a, b) AS list_has_any(a, b);
CREATE MACRO sequence(a, b) AS generate_series(a, b);

-- Aggregates.
CREATE MACRO every(x) AS bool_and(x);
