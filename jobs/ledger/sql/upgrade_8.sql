-- SQLite builds a table of the list each time that a row is written of which the index's condition says IN.
DROP INDEX jobs_open;
CREATE INDEX jobs_open ON jobs (id) WHERE {is_open};
