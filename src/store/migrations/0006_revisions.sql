-- History: every write of the desired state is a numbered revision. Older code would write without one.

CREATE TABLE revisions (
    -- Without gaps: given under the writer's lock.
    number bigint PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    cause text NOT NULL,
    by text NOT NULL,
    commit text,
    dirty boolean,
    message text,
    CONSTRAINT cause_is_known CHECK (cause IN ('apply', 'rollback', 'start', 'pause', 'stop', 'delete',
        'resume')),
    CONSTRAINT numbers_count_from_one CHECK (number >= 1)
);

CREATE TABLE revision_changes (
    revision bigint NOT NULL REFERENCES revisions,
    kind text NOT NULL,
    name text NOT NULL,
    action text NOT NULL,
    -- The incarnation of a task afterwards.
    task_id uuid,
    -- The whole specification afterwards: what a rollback goes back to. NULL where it did not change.
    fields jsonb,
    phase_from text,
    phase_to text,
    -- How the audience changed, in numbers.
    audience jsonb,
    PRIMARY KEY (revision, kind, name),
    CONSTRAINT action_is_known CHECK (action IN ('create', 'update', 'recreate', 'delete')),
    CONSTRAINT phase_comes_from_somewhere CHECK (phase_from IS NULL OR phase_to IS NOT NULL),
    CONSTRAINT deleted_has_no_fields CHECK (action <> 'delete' OR fields IS NULL)
);
CREATE INDEX revision_changes_by_subject ON revision_changes (kind, name, revision);
