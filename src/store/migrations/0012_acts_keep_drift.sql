-- What nuncio writes beside a specification (a phase, a pause) leaves a drift of the specification seen.
-- Older code goes on beside it.

CREATE OR REPLACE FUNCTION note_drift() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT nuncio_writes() THEN
        IF TG_OP = 'UPDATE' AND live_mark(NEW) <> live_mark(OLD) THEN
            -- A plan that was made before must not be applied over it unseen.
            NEW.generation := OLD.generation + 1;
            NEW.drifted_at := now();
            NEW.drifted_by := who_writes();
        END IF;
    ELSIF TG_OP = 'INSERT' OR live_mark(OLD) = OLD.applied_mark OR live_mark(NEW) = NEW.applied_mark THEN
        NEW.applied_mark := live_mark(NEW);
        NEW.drifted_at := NULL;
        NEW.drifted_by := NULL;
    END IF;
    RETURN NEW;
END $$;

-- A specification is written with its digest, and is applied as a whole then.
CREATE FUNCTION note_applied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nuncio_writes() THEN
        NEW.applied_mark := live_mark(NEW);
    END IF;
    RETURN NEW;
END $$;
-- By its name it fires before `note_drift`.
CREATE TRIGGER note_applied BEFORE UPDATE OF digest ON tasks FOR EACH ROW EXECUTE FUNCTION note_applied();
CREATE TRIGGER note_applied BEFORE UPDATE OF digest ON resources FOR EACH ROW EXECUTE FUNCTION note_applied();
