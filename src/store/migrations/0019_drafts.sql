-- Openings that the AI writes before their turn comes. Older code goes on beside it, but cannot say them: it
-- fails the contacts of such a task, and is to be stopped before the first is applied.

CREATE TABLE drafts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- As in the ledger: what was spent on a person counts for a later incarnation too.
    task text NOT NULL,
    address text NOT NULL,
    task_id uuid NOT NULL,
    position bigint NOT NULL,

    state text NOT NULL DEFAULT 'due',
    -- Without the disclosure, which is put before it when it is sent.
    text text,
    -- Why there will be none.
    reason text,

    -- Micro-dollars, as in `dialogues`, into which they move when the person's dialogue is opened.
    spent bigint NOT NULL DEFAULT 0,
    dialogue_id bigint,

    -- Rises with whatever makes a draft in the making out of date.
    turn bigint NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    due_at timestamptz DEFAULT clock_timestamp(),
    -- The lane under whose fence it is being written.
    held_channel text,
    held_fence bigint,

    CONSTRAINT one_draft_a_person UNIQUE (task, address),
    -- `used`: a permit was granted for it. `void`: its contact is gone; only its spending counts.
    CONSTRAINT state_is_known CHECK (state IN ('due', 'written', 'used', 'failed', 'void')),
    CONSTRAINT due_iff_it_has_a_time CHECK ((due_at IS NOT NULL) = (state = 'due')),
    CONSTRAINT text_iff_written CHECK ((text IS NOT NULL) = (state IN ('written', 'used'))),
    CONSTRAINT reason_iff_failed CHECK ((reason IS NOT NULL) = (state = 'failed')),
    CONSTRAINT held_by_channel_and_fence CHECK ((held_channel IS NULL) = (held_fence IS NULL)),
    CONSTRAINT only_the_due_are_held CHECK (held_fence IS NULL OR state = 'due'),
    CONSTRAINT nobody_is_greeted_in_a_dialogue CHECK (dialogue_id IS NULL OR state <> 'due'),
    CONSTRAINT spending_is_not_negative CHECK (spent >= 0)
) WITH (fillfactor = 70);
CREATE INDEX drafts_unsent ON drafts (task_id, state) WHERE state IN ('due', 'written', 'failed');
CREATE INDEX drafts_by_address ON drafts (address);
CREATE INDEX drafts_of_dialogue ON drafts (dialogue_id) WHERE dialogue_id IS NOT NULL;

ALTER TABLE ai_calls
    ALTER COLUMN dialogue_id DROP NOT NULL,
    ADD COLUMN draft_id bigint,
    ADD CONSTRAINT for_a_dialogue_or_a_draft CHECK (num_nonnulls(dialogue_id, draft_id) = 1);
CREATE INDEX ai_calls_of_draft ON ai_calls (draft_id, id) WHERE draft_id IS NOT NULL;

CREATE INDEX tasks_drafting ON tasks (id)
    WHERE opening ? 'writtenBy' AND phase = 'in-progress' AND deleted_at IS NULL;

-- Who speaks with a person: the same manager in the opening and in the dialogue.
CREATE FUNCTION manager_for(fields jsonb, address text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN fields->'managers'->>(((hashtextextended(address, 0) & 9223372036854775807)
    % greatest(1, jsonb_array_length(fields->'managers')))::integer);

-- The lanes that will soon need an opening of the AI: in their hours, or ten minutes before, which is enough to
-- have the first ones written when the hours begin.
CREATE VIEW drafting AS
SELECT t.id AS task_id, t.name AS task, t.fields->>'ai' AS ai, a.cursor_position, l.channel, l.owner, l.fence
FROM tasks t
JOIN audiences a ON a.task_id = t.id
JOIN task_channels tc ON tc.task_id = t.id
JOIN lanes l ON l.channel = tc.channel
JOIN executors e ON e.id = l.owner AND e.alive_until > now()
WHERE t.opening ? 'writtenBy' AND t.phase = 'in-progress' AND t.deleted_at IS NULL
    AND NOT (SELECT guarded FROM installation)
    AND (l.blocked_class IS NULL OR l.blocked_until <= now())
    AND NOT (l.day = utc_day(now()) AND l.day_count >= l.daily_limit
        OR tc.day = utc_day(now()) AND tc.day_count >= t.daily_limit)
    AND (hours_open(t.hours_from_s, t.hours_to_s, t.timezone, now())
        OR hours_open_at(t.hours_from_s, t.timezone, now()) <= now() + interval '10 minutes');

-- Whether the contact whose turn is next has no opening yet, and is to have one.
CREATE FUNCTION awaits_draft(task_id uuid, task text, cursor_position bigint) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce((
    SELECT coalesce(d.state, 'due') NOT IN ('written', 'failed')
        AND NOT EXISTS (SELECT FROM ledger l WHERE l.task = awaits_draft.task AND l.address = c.address)
        AND NOT is_suppressed(c.address, awaits_draft.task)
    FROM (
        SELECT contacts.address FROM contacts
        WHERE contacts.task_id = awaits_draft.task_id AND contacts.position > awaits_draft.cursor_position
        ORDER BY contacts.position LIMIT 1
    ) c
    LEFT JOIN drafts d ON d.task = awaits_draft.task AND d.address = c.address
), false);

-- As in migration 0011, and a turn waits for the AI that writes its opening.
DROP VIEW turns;
CREATE VIEW turns AS
SELECT facts.*,
    CASE
        WHEN NOT running THEN 'not-running'
        WHEN (SELECT guarded FROM installation) THEN 'guarded'
        WHEN blocked THEN 'channel-blocked'
        WHEN NOT has_fresh AND NOT awaits_draft AND retry_at IS NULL THEN 'audience-exhausted'
        WHEN NOT open THEN 'outside-working-hours'
        WHEN is_full AND repeat_at IS NULL THEN 'daily-limit'
        WHEN in_flight THEN 'sending'
        WHEN not_before > now() THEN 'channel-rests'
        WHEN awaits_draft AND next_at IS NULL THEN 'draft'
        WHEN next_at > now() THEN 'retry'
        WHEN pause_until > now() THEN 'pause'
        ELSE 'ready'
    END AS verdict,
    CASE
        WHEN NOT running OR (SELECT guarded FROM installation) THEN NULL
        WHEN blocked THEN blocked_until
        WHEN NOT has_fresh AND NOT awaits_draft AND retry_at IS NULL THEN NULL
        WHEN NOT open THEN hours_open_at(hours_from_s, timezone, now())
        WHEN is_full AND repeat_at IS NULL THEN (utc_day(now()) + 1)::timestamp AT TIME ZONE 'UTC'
        WHEN in_flight THEN NULL
        WHEN awaits_draft AND next_at IS NULL AND (not_before IS NULL OR not_before <= now()) THEN NULL
        ELSE greatest(now(), not_before, next_at, pause_until)
    END AS until
FROM (
    SELECT t.id AS task_id, t.name AS task, l.channel, l.owner, l.blocked_until,
        t.hours_from_s, t.hours_to_s, t.timezone, l.not_before, tc.last_opening_at,
        t.phase = 'in-progress' AS running,
        l.blocked_class IS NOT NULL AND (l.blocked_until IS NULL OR l.blocked_until > now()) AS blocked,
        l.in_flight IS NOT NULL AS in_flight,
        a.cursor_position < a.last_position AS has_fresh,
        -- The window closes a second early: a permit of the last moment would arrive after the end.
        hours_open(t.hours_from_s, t.hours_to_s, t.timezone, now())
            AND hours_left_s(t.hours_from_s, t.hours_to_s, t.timezone, now()) > 1 AS open,
        counts.is_full,
        l.last_opening_at + make_interval(secs => greatest(l.last_pause_ms, t.pause_ms) / 1000.0)
            AS pause_until,
        waits.retry_at, waits.repeat_at,
        -- When something can be said; NULL is now: there are fresh contacts, and room for them.
        CASE WHEN counts.is_full THEN waits.repeat_at
            WHEN a.cursor_position >= a.last_position OR draft.awaits_draft THEN waits.retry_at END AS next_at,
        t.opening ? 'writtenBy' AS by_ai,
        draft.awaits_draft
    FROM task_channels tc
    JOIN tasks t ON t.id = tc.task_id
    JOIN audiences a ON a.task_id = t.id
    JOIN lanes l ON l.channel = tc.channel
    CROSS JOIN LATERAL (
        SELECT l.day = utc_day(now()) AND l.day_count >= l.daily_limit
            OR tc.day = utc_day(now()) AND tc.day_count >= t.daily_limit AS is_full
    ) counts
    CROSS JOIN LATERAL (
        SELECT min(r.ready_at) AS retry_at,
            -- The repeat of a doubt that counts against today already needs no room in the limit.
            min(r.ready_at) FILTER (WHERE r.in_doubt AND r.counted_on = utc_day(now())) AS repeat_at
        FROM due_retries r
        WHERE r.task_id = t.id AND (r.channel IS NULL OR r.channel = l.channel)
            AND CASE WHEN t.opening ? 'writtenBy' THEN EXISTS (SELECT FROM drafts d
                WHERE d.task = t.name AND d.address = r.address AND d.text IS NOT NULL) ELSE true END
    ) waits
    CROSS JOIN LATERAL (
        -- A case, so that nothing is looked up for a task that has its text.
        SELECT CASE WHEN t.opening ? 'writtenBy' AND t.phase = 'in-progress'
            THEN awaits_draft(t.id, t.name, a.cursor_position) OR EXISTS (
                SELECT FROM due_retries r LEFT JOIN drafts d ON d.task = t.name AND d.address = r.address
                WHERE r.task_id = t.id AND d.text IS NULL AND a.cursor_position >= a.last_position)
            ELSE false END AS awaits_draft
        -- Not flattened: planned and looked up once, and not wherever it is named above.
        OFFSET 0
    ) draft
    WHERE t.outgoing AND t.deleted_at IS NULL
) AS facts;

-- What a draft was made from has changed: those that were not sent are written anew, and those that failed are
-- tried again. With `only_failed` a text that is there still stands.
CREATE FUNCTION void_drafts(of_task uuid, only_failed boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    -- Whoever grants permits moves the cursor under this lock, and passes over those that failed.
    PERFORM FROM audiences a WHERE a.task_id = of_task FOR UPDATE;
    INSERT INTO retries (opening, task_id, position, address, key, tries, ready_at, in_doubt)
    SELECT nextval('opening_ids'), d.task_id, d.position, d.address, opening_key(d.task, d.address), 0,
        clock_timestamp(), false
    FROM drafts d
    JOIN audiences a ON a.task_id = d.task_id AND d.position <= a.cursor_position
    JOIN contacts c ON c.task_id = d.task_id AND c.position = d.position AND c.address = d.address
    WHERE d.task_id = of_task AND d.state = 'failed' AND d.dialogue_id IS NULL
        AND NOT EXISTS (SELECT FROM ledger l WHERE l.task = d.task AND l.address = d.address)
        AND NOT EXISTS (SELECT FROM retries r WHERE r.task_id = d.task_id AND r.address = d.address);
    UPDATE drafts d SET state = 'due', due_at = clock_timestamp(), text = NULL, reason = NULL,
        turn = turn + 1, failures = 0, held_channel = NULL, held_fence = NULL
    WHERE d.task_id = of_task AND d.dialogue_id IS NULL AND d.state IN ('due', 'written', 'failed')
        AND (d.state = 'failed' OR NOT only_failed);
    IF NOT only_failed THEN
        -- Certainly not sent, and to be tried again.
        UPDATE drafts d SET state = 'due', due_at = clock_timestamp(), text = NULL, turn = turn + 1,
            failures = 0
        FROM retries r
        WHERE r.task_id = of_task AND NOT r.in_doubt AND d.task_id = of_task AND d.address = r.address
            AND d.state = 'used' AND d.dialogue_id IS NULL;
    END IF;
END $$;

CREATE FUNCTION void_drafts_of_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM void_drafts(NEW.id,
        OLD.opening = NEW.opening
        AND OLD.fields->'title' IS NOT DISTINCT FROM NEW.fields->'title'
        AND OLD.fields->'managers' IS NOT DISTINCT FROM NEW.fields->'managers'
        AND OLD.fields->'ai' IS NOT DISTINCT FROM NEW.fields->'ai');
    RETURN NULL;
END $$;
CREATE TRIGGER drafts_are_void AFTER UPDATE OF fields, opening ON tasks
    FOR EACH ROW WHEN (OLD.opening ? 'writtenBy' AND NEW.opening IS NOT NULL AND NEW.deleted_at IS NULL
        AND (OLD.fields, OLD.opening) IS DISTINCT FROM (NEW.fields, NEW.opening))
    EXECUTE FUNCTION void_drafts_of_task();

CREATE FUNCTION void_drafts_of_resource() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM void_drafts(t.id, NEW.kind = 'Ai' AND NOT EXISTS (
        SELECT FROM unnest(ARRAY['instructions', 'model', 'temperature', 'maxOutputTokens']) said
        WHERE OLD.fields->said IS DISTINCT FROM NEW.fields->said))
    FROM tasks t
    WHERE t.deleted_at IS NULL AND t.opening ? 'writtenBy'
        AND CASE NEW.kind WHEN 'Ai' THEN t.fields->>'ai' = NEW.name ELSE t.fields->'managers' ? NEW.name END;
    RETURN NULL;
END $$;
CREATE TRIGGER drafts_are_void AFTER UPDATE OF fields ON resources
    FOR EACH ROW WHEN (NEW.kind IN ('Ai', 'Manager') AND OLD.fields IS DISTINCT FROM NEW.fields)
    EXECUTE FUNCTION void_drafts_of_resource();
