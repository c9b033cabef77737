-- What was applied and what is live, apart: an edit by other means than nuncio is seen, with who and when.
-- Older code writes without the setting below, and its writes would be taken for drift.

ALTER TABLE tasks
    ADD COLUMN applied_mark text NOT NULL DEFAULT '',
    ADD COLUMN drifted_at timestamptz,
    ADD COLUMN drifted_by text,
    -- A rollback stands until the manifest is another one than this.
    ADD COLUMN held_digest bytea,
    ADD COLUMN held_audience bytea,
    ADD COLUMN held_by bigint;
ALTER TABLE resources
    ADD COLUMN applied_mark text NOT NULL DEFAULT '',
    ADD COLUMN drifted_at timestamptz,
    ADD COLUMN drifted_by text,
    ADD COLUMN held_digest bytea,
    ADD COLUMN held_by bigint;

-- All that an apply decides of a task. The phase belongs to it only where git owns the run state.
CREATE FUNCTION live_mark(t tasks) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN md5(ROW(t.fields, t.outgoing, t.hours_from_s, t.hours_to_s, t.timezone, t.daily_limit, t.pause_ms,
    t.opening, CASE WHEN t.state_place IS NOT NULL THEN t.phase END)::text);

CREATE FUNCTION live_mark(r resources) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN md5(r.fields::text);

-- Set by nuncio in the transactions in which it writes.
CREATE FUNCTION nuncio_writes() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(current_setting('nuncio.writes', true), '') = 'on';

CREATE FUNCTION who_writes() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN session_user || coalesce(' with ' || nullif(current_setting('application_name', true), ''), '');

CREATE FUNCTION note_drift() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nuncio_writes() THEN
        NEW.applied_mark := live_mark(NEW);
        NEW.drifted_at := NULL;
        NEW.drifted_by := NULL;
    ELSIF TG_OP = 'UPDATE' AND live_mark(NEW) <> live_mark(OLD) THEN
        -- A plan that was made before must not be applied over it unseen.
        NEW.generation := OLD.generation + 1;
        NEW.drifted_at := now();
        NEW.drifted_by := who_writes();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER note_drift BEFORE INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION note_drift();
CREATE TRIGGER note_drift BEFORE INSERT OR UPDATE ON resources FOR EACH ROW EXECUTE FUNCTION note_drift();

-- What a channel may send a day stands in its lane, where permits are granted.
CREATE FUNCTION note_lane_drift() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT nuncio_writes() AND NEW.daily_limit <> OLD.daily_limit THEN
        UPDATE resources SET generation = generation + 1, drifted_at = now(), drifted_by = who_writes()
        WHERE kind = 'Channel' AND name = NEW.channel;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER note_drift BEFORE UPDATE OF daily_limit ON lanes
FOR EACH ROW EXECUTE FUNCTION note_lane_drift();

-- What stands at the time of this migration was applied.
SET LOCAL nuncio.writes = 'on';
UPDATE tasks SET applied_mark = '';
UPDATE resources SET applied_mark = '';
