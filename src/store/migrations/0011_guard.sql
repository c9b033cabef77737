-- The backup guard: while it is on, no permit is granted. A database that was restored from a backup has
-- forgotten openings that were sent. The guard holds for older code as well, which grants by the same view.

ALTER TABLE installation
    -- Goes with a backup: a copy has the same, by which it is known as one.
    ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN guarded boolean NOT NULL DEFAULT false;

-- Who turned it on or off, and why. The last row tells how it stands.
CREATE TABLE guard_acts (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    guarded boolean NOT NULL,
    by text NOT NULL,
    reason text NOT NULL
);

-- As in migration 0005, and nobody's turn comes while the guard is on.
CREATE OR REPLACE VIEW turns AS
SELECT facts.*,
    CASE
        WHEN NOT running THEN 'not-running'
        WHEN (SELECT guarded FROM installation) THEN 'guarded'
        WHEN blocked THEN 'channel-blocked'
        WHEN NOT has_fresh AND retry_at IS NULL THEN 'audience-exhausted'
        WHEN NOT open THEN 'outside-working-hours'
        WHEN is_full AND repeat_at IS NULL THEN 'daily-limit'
        WHEN in_flight THEN 'sending'
        WHEN not_before > now() THEN 'channel-rests'
        WHEN next_at > now() THEN 'retry'
        WHEN pause_until > now() THEN 'pause'
        ELSE 'ready'
    END AS verdict,
    CASE
        WHEN NOT running OR (SELECT guarded FROM installation) THEN NULL
        WHEN blocked THEN blocked_until
        WHEN NOT has_fresh AND retry_at IS NULL THEN NULL
        WHEN NOT open THEN hours_open_at(hours_from_s, timezone, now())
        WHEN is_full AND repeat_at IS NULL THEN (utc_day(now()) + 1)::timestamp AT TIME ZONE 'UTC'
        WHEN in_flight THEN NULL
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
            WHEN a.cursor_position >= a.last_position THEN waits.retry_at END AS next_at
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
    ) waits
    WHERE t.outgoing AND t.deleted_at IS NULL
) AS facts;
