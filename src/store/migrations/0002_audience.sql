-- Audiences. Contacts are loaded by COPY and not changed by sending: a cursor moves over them, so that
-- nothing in this large table becomes dead and a held snapshot cannot slow the sending down.

CREATE TABLE contacts (
    task_id uuid NOT NULL,
    position bigint NOT NULL,
    address text NOT NULL,
    variables jsonb,
    PRIMARY KEY (task_id, position)
);

CREATE TABLE audiences (
    task_id uuid PRIMARY KEY,
    total bigint NOT NULL DEFAULT 0,
    -- Contacts that the cursor has still to pass and that nobody has written to.
    waiting bigint NOT NULL DEFAULT 0,
    cursor_position bigint NOT NULL DEFAULT 0,
    last_position bigint NOT NULL DEFAULT 0,
    CONSTRAINT cursor_stays_inside CHECK (cursor_position <= last_position)
) WITH (fillfactor = 50);

-- Who was written to, or may have been, by any incarnation of a task. It outlives tasks.
CREATE TABLE ledger (
    task text NOT NULL,
    address text NOT NULL,
    -- The opening that holds the entry: every further attempt at it finds its own entry.
    opening bigint NOT NULL,
    channel text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task, address)
);
