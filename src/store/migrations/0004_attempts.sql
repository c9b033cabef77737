-- Attempts: the intent, committed before the call, and later its outcome. Partitioned by month, so that
-- old ones leave by dropping a partition.

CREATE SEQUENCE attempt_ids;
CREATE SEQUENCE opening_ids;

CREATE TABLE attempts (
    id bigint NOT NULL,
    opening bigint NOT NULL,
    tries integer NOT NULL,
    task_id uuid NOT NULL,
    task text NOT NULL,
    channel text NOT NULL,
    position bigint NOT NULL,
    address text NOT NULL,
    -- Sent to the provider, so that it can drop a repeat.
    key bigint NOT NULL,
    fence bigint NOT NULL,
    granted_at timestamptz NOT NULL,
    finished_at timestamptz,
    outcome text,
    reason text,
    provider_message_id text,

    PRIMARY KEY (id, granted_at),
    CONSTRAINT outcome_iff_finished CHECK ((finished_at IS NULL) = (outcome IS NULL)),
    CONSTRAINT key_is_not_zero CHECK (key <> 0),
    CONSTRAINT outcome_is_known CHECK (outcome IN ('sent', 'recipient-permanent', 'message-permanent',
        'window-closed', 'retry-after', 'not-sent', 'in-doubt', 'channel-blocked',
        'credential-refused', 'our-mistake'))
) PARTITION BY RANGE (granted_at);
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;
CREATE INDEX attempts_by_task ON attempts (task_id, address);
CREATE INDEX attempts_in_doubt ON attempts (task_id, id) WHERE outcome = 'in-doubt';

-- Openings that will be tried again: small, and emptied as they are.
CREATE TABLE retries (
    opening bigint PRIMARY KEY,
    task_id uuid NOT NULL,
    position bigint NOT NULL,
    address text NOT NULL,
    key bigint NOT NULL,
    tries integer NOT NULL,
    -- NULL: any channel of the task may take it, because the one that tried was blocked.
    channel text,
    ready_at timestamptz NOT NULL,
    -- An earlier attempt may have arrived; only the same key on the same channel is safe.
    in_doubt boolean NOT NULL,
    -- The UTC day against which a doubt counts already; its repeat on that day counts no more.
    counted_on date,
    CONSTRAINT a_doubt_keeps_its_channel CHECK (NOT in_doubt OR channel IS NOT NULL)
);
CREATE INDEX retries_by_task ON retries (task_id, ready_at);

-- The key of an opening: the same for ever for one contact of one task, also after a restored backup,
-- so that a provider that drops repeats drops them. 63 bits, because short hashes collide and swallow
-- messages; never 0, which providers read as "no key".
CREATE FUNCTION opening_key(task text, address text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN greatest(1, ('x' || encode(substr(sha256(convert_to(task || E'\n' || address, 'UTF8')), 1, 8), 'hex'))
    ::bit(64)::bigint & 9223372036854775807);
