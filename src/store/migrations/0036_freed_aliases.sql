-- Of two known addresses of one person the second is passed over while the first stands in the ledger. Once that one
-- leaves it, because certainly nothing arrived there, the second has its turn again.

CREATE TABLE freed_aliases (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task text NOT NULL,
    address text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION note_freed_aliases() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Whether the person has another address is asked later: somebody may be learning it at this moment.
    INSERT INTO freed_aliases (task, address) SELECT task, address FROM gone;
    RETURN NULL;
END $$;

CREATE TRIGGER ledger_frees_aliases AFTER DELETE ON ledger
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_freed_aliases();
