-- Who follows the folder, and how everything stands. Older code goes on beside it.

-- Programs that reconcile. Each keeps its row fresh for as long as it lives.
CREATE TABLE watches (
    id uuid PRIMARY KEY,
    host text NOT NULL,
    pid integer NOT NULL,
    -- What it follows: a folder of its host, and the repository where it keeps a checkout itself.
    folder text NOT NULL,
    source text,
    started_at timestamptz NOT NULL DEFAULT now(),
    alive_until timestamptz NOT NULL,

    -- The state of the folder that was compared last.
    commit text,
    dirty boolean,
    passed_at timestamptz,
    applied_at timestamptz,
    -- Why it does not reconcile now, and since when.
    failure text,
    failed_since timestamptz,
    -- The last failure, also when it is over.
    last_failure text,
    last_failed_at timestamptz,

    CONSTRAINT failure_has_its_time CHECK ((failure IS NULL) = (failed_since IS NULL)),
    CONSTRAINT last_failure_has_its_time CHECK ((last_failure IS NULL) = (last_failed_at IS NULL))
) WITH (fillfactor = 50);

-- How a task, a channel or a watch stands in one respect, since when, and why. What changes here is told
-- outward, once: whoever changes the row tells it.
CREATE TABLE conditions (
    kind text NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    status text NOT NULL,
    reason text NOT NULL,
    message text NOT NULL,
    place text,
    -- The commit at which it became so.
    commit text,
    -- The generation of the task that was compared.
    generation bigint,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name, type),
    CONSTRAINT kind_is_known CHECK (kind IN ('task', 'channel', 'watch')),
    CONSTRAINT type_and_status_are_known CHECK (
        type = 'sync' AND status IN ('Synced', 'OutOfSync', 'Rejected', 'Held', 'Unknown')
        OR type = 'health' AND status IN ('Healthy', 'Progressing', 'Degraded', 'Suspended')
    )
) WITH (fillfactor = 50);
