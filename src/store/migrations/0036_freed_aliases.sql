-- Of two known addresses of one person the second is passed over while the first stands in the ledger. Once that one
-- leaves it, because certainly nothing arrived there, the second has its turn again.

CREATE TABLE freed_aliases (
    task text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION note_freed_aliases() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A row of its own each time, and no lock: whoever deletes holds some already.
    INSERT INTO freed_aliases (task)
    SELECT DISTINCT gone.task FROM gone JOIN aliases o ON o.address = gone.address;
    RETURN NULL;
END $$;

CREATE TRIGGER ledger_frees_aliases AFTER DELETE ON ledger
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_freed_aliases();
