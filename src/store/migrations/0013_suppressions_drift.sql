-- Who must not be written to, changed by other means than nuncio, is a drift of its list. Older code goes on
-- beside it.

CREATE FUNCTION note_suppressions_drift(lists text[]) RETURNS void LANGUAGE sql AS $$
    UPDATE resources SET generation = generation + 1, applied_mark = '', drifted_at = now(),
        drifted_by = who_writes()
    WHERE kind = 'SuppressionList' AND (lists IS NULL OR name = ANY (lists));
$$;

CREATE FUNCTION note_suppressions_drift() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nuncio_writes() THEN
        RETURN NULL;
    ELSIF TG_OP = 'TRUNCATE' THEN
        PERFORM note_suppressions_drift(NULL);
    ELSIF TG_OP = 'INSERT' THEN
        PERFORM note_suppressions_drift(ARRAY(SELECT DISTINCT list FROM changed_to));
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM note_suppressions_drift(ARRAY(SELECT DISTINCT list FROM changed_from));
    ELSE
        PERFORM note_suppressions_drift(
            ARRAY(SELECT list FROM changed_from UNION SELECT list FROM changed_to));
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER note_drift_of_truncate AFTER TRUNCATE ON suppressions
FOR EACH STATEMENT EXECUTE FUNCTION note_suppressions_drift();
CREATE TRIGGER note_drift_of_insert AFTER INSERT ON suppressions REFERENCING NEW TABLE AS changed_to
FOR EACH STATEMENT EXECUTE FUNCTION note_suppressions_drift();
CREATE TRIGGER note_drift_of_delete AFTER DELETE ON suppressions REFERENCING OLD TABLE AS changed_from
FOR EACH STATEMENT EXECUTE FUNCTION note_suppressions_drift();
CREATE TRIGGER note_drift_of_update AFTER UPDATE ON suppressions
REFERENCING OLD TABLE AS changed_from NEW TABLE AS changed_to
FOR EACH STATEMENT EXECUTE FUNCTION note_suppressions_drift();
