-- The limit that numbers of one business portfolio share, over any 24 hours. Older code goes on beside it, but grants
-- through such channels without counting: it is to be stopped before the first `messagingLimit` is applied.

CREATE TABLE portfolios (
    name text PRIMARY KEY,
    messaging_limit integer NOT NULL,
    -- Openings that were ever granted. Whoever holds the row sees by it what was granted after its own statement
    -- began, which the statement cannot count.
    granted bigint NOT NULL DEFAULT 0,
    -- Until then as many openings as the limit has lie less than 24 hours back.
    full_until timestamptz,
    CONSTRAINT limit_is_positive CHECK (messaging_limit > 0)
) WITH (fillfactor = 50);

ALTER TABLE lanes ADD COLUMN portfolio text;

-- The portfolio that the opening counts for.
ALTER TABLE attempts ADD COLUMN portfolio text;
CREATE INDEX attempts_of_portfolio ON attempts (portfolio, granted_at DESC) WHERE portfolio IS NOT NULL;

-- Whether an opening counts: what was certainly not sent reached nobody.
CREATE FUNCTION is_counted(outcome text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN outcome IS NULL OR outcome IN ('sent', 'in-doubt');

-- What counts against a portfolio's limit, up to so many.
CREATE FUNCTION portfolio_count(of_portfolio text, at_most bigint) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT count(*) FROM (
    SELECT FROM attempts a
    WHERE a.portfolio = of_portfolio AND a.granted_at > now() - interval '24 hours' AND is_counted(a.outcome)
    -- By the index, however many of all openings are the portfolio's: the latest first.
    ORDER BY a.granted_at DESC LIMIT at_most
) counted);

-- When the last of so many openings, the newest first, ceases to count; NULL: there are not so many.
CREATE FUNCTION portfolio_free_at(of_portfolio text, newest bigint) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
    SELECT a.granted_at + interval '24 hours' FROM attempts a
    WHERE a.portfolio = of_portfolio AND a.granted_at > now() - interval '24 hours' AND is_counted(a.outcome)
    ORDER BY a.granted_at DESC OFFSET greatest(0, newest - 1) LIMIT 1
);

-- As in migration 0019, and a lane waits while its portfolio's limit is reached.
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
        WHEN portfolio_full_until > now() THEN 'messaging-limit'
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
        WHEN portfolio_full_until > now() THEN portfolio_full_until
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
        l.portfolio, p.full_until AS portfolio_full_until,
        t.opening ? 'writtenBy' AS by_ai,
        draft.awaits_draft
    FROM task_channels tc
    JOIN tasks t ON t.id = tc.task_id
    JOIN audiences a ON a.task_id = t.id
    JOIN lanes l ON l.channel = tc.channel
    LEFT JOIN portfolios p ON p.name = l.portfolio
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
