-- Lanes: the one way through which a channel's openings leave. Leased by one executor at a time.

-- Running executors. An executor's lease of all its lanes is this one row, renewed by a heartbeat, and
-- an advisory lock that its session holds: the lock falls at once when the process dies, the lease runs
-- out when it hangs. It is alive while it has both.
CREATE TABLE executors (
    id uuid PRIMARY KEY,
    lock_id integer GENERATED ALWAYS AS IDENTITY,
    host text NOT NULL,
    pid integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    alive_until timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE lanes (
    channel text PRIMARY KEY,
    daily_limit integer NOT NULL,
    -- The provider drops a second message with the same key: an attempt in doubt may be repeated.
    drops_repeats boolean NOT NULL,

    -- An executor; the lane is free when it is absent or no longer alive.
    owner uuid,
    -- Rises when the owner changes; a write with an older one changes no row.
    fence bigint NOT NULL DEFAULT 0,

    -- The attempt whose outcome is not recorded yet.
    in_flight bigint,
    in_flight_granted_at timestamptz,

    -- The pause counts from the record of the last outcome, not from its permit: whatever the call
    -- took, the provider sees no two openings closer than the pause.
    last_opening_at timestamptz,
    last_pause_ms bigint NOT NULL DEFAULT 0,
    -- Openings of the UTC day.
    day date NOT NULL DEFAULT '-infinity',
    day_count integer NOT NULL DEFAULT 0,
    -- After failures that are not the recipient's: not before this.
    not_before timestamptz,
    failures integer NOT NULL DEFAULT 0,

    blocked_class text,
    blocked_reason text,
    -- With a block: when it ends by itself; NULL: a person must act.
    blocked_until timestamptz,

    CONSTRAINT in_flight_has_its_time CHECK ((in_flight IS NULL) = (in_flight_granted_at IS NULL)),
    CONSTRAINT block_has_a_reason CHECK ((blocked_class IS NULL) = (blocked_reason IS NULL)),
    CONSTRAINT block_ends_only_if_there_is_one CHECK (blocked_until IS NULL OR blocked_class IS NOT NULL),
    CONSTRAINT day_count_is_not_negative CHECK (day_count >= 0)
) WITH (fillfactor = 50);

CREATE VIEW living_executors AS
SELECT e.id FROM executors e
JOIN pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.classid = 28277 AND l.objid = e.lock_id::oid
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
WHERE e.alive_until > now();

-- A task on one of its channels. Written only by the executor that holds the channel's lane.
CREATE TABLE task_channels (
    task_id uuid NOT NULL,
    channel text NOT NULL,
    day date NOT NULL DEFAULT '-infinity',
    day_count integer NOT NULL DEFAULT 0,
    last_opening_at timestamptz,
    n_sent bigint NOT NULL DEFAULT 0,
    n_failed bigint NOT NULL DEFAULT 0,
    n_in_doubt bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (task_id, channel),
    CONSTRAINT day_count_is_not_negative CHECK (day_count >= 0)
) WITH (fillfactor = 50);
CREATE INDEX task_channels_by_channel ON task_channels (channel);
