-- The desired state as it was applied. First migration: no older code.

-- What the whole database is used for. A rehearsal's records must never count as real ones.
CREATE TABLE installation (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT one_row_only CHECK (only_row),
    purpose text CONSTRAINT purpose_is_known CHECK (purpose IN ('live', 'rehearsal'))
);
INSERT INTO installation DEFAULT VALUES;

-- One incarnation of a task. A deleted one keeps its row, so that its history stays readable.
CREATE TABLE tasks (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    generation bigint NOT NULL DEFAULT 1,
    phase text NOT NULL,
    phase_by text NOT NULL,
    phase_at timestamptz NOT NULL DEFAULT now(),
    -- The specification by field path, as plans compare and show it, and its digest.
    fields jsonb NOT NULL,
    digest bytea NOT NULL,
    audience_digest bytea,
    -- Where the manifest stands, and its `state` where it has one: then git owns the run state.
    file text NOT NULL,
    line integer NOT NULL,
    state_place text,
    -- What the executor reads; the same facts as in `fields`, in the types of SQL.
    outgoing boolean NOT NULL,
    hours_from_s integer,
    hours_to_s integer,
    timezone text,
    daily_limit integer,
    pause_ms bigint,
    opening jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,

    CONSTRAINT phase_is_known CHECK (phase IN ('awaiting', 'in-progress', 'stopped', 'completed')),
    CONSTRAINT only_completed_is_deleted CHECK (deleted_at IS NULL OR phase = 'completed'),
    CONSTRAINT outgoing_says_how CHECK (
        outgoing = (num_nonnulls(hours_from_s, hours_to_s, timezone, daily_limit, pause_ms, opening,
            audience_digest) = 7)
        AND (outgoing OR num_nonnulls(hours_from_s, hours_to_s, timezone, daily_limit, pause_ms,
            opening, audience_digest) = 0)
    ),
    CONSTRAINT hours_are_of_a_day CHECK (
        hours_from_s BETWEEN 0 AND 86399 AND hours_to_s BETWEEN 1 AND 86400
        AND hours_from_s <> hours_to_s
    ),
    CONSTRAINT daily_limit_is_positive CHECK (daily_limit >= 1),
    CONSTRAINT pause_is_at_most_a_month CHECK (pause_ms BETWEEN 0 AND 2678400000)
);
CREATE UNIQUE INDEX one_living_task_a_name ON tasks (name) WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_name ON tasks (name, created_at);

-- Channels, managers, AIs, integrations and suppression lists.
CREATE TABLE resources (
    kind text NOT NULL,
    name text NOT NULL,
    generation bigint NOT NULL DEFAULT 1,
    fields jsonb NOT NULL,
    digest bytea NOT NULL,
    file text NOT NULL,
    line integer NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name)
);

-- People who must not be written to; an empty task means every task.
CREATE TABLE suppressions (
    address text NOT NULL,
    task text NOT NULL DEFAULT '',
    list text NOT NULL,
    PRIMARY KEY (address, task, list)
);
CREATE INDEX suppressions_by_list ON suppressions (list);

-- What `watch` could not or would not apply, for `status`. Replaced as a whole by each pass.
CREATE TABLE held_back (
    place text NOT NULL,
    subject text NOT NULL,
    message text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (place, subject)
);
