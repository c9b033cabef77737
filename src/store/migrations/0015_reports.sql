-- Reports: what happened in dialogues and is told to integrations. Older code goes on beside it.

CREATE TABLE reports (
    id uuid NOT NULL,
    task text NOT NULL,
    dialogue bigint NOT NULL,
    channel text NOT NULL,
    integration text NOT NULL,
    -- Its place among those of its dialogue to its integration: the earlier are delivered first.
    sequence integer NOT NULL,
    event text NOT NULL,
    -- What makes it another event than an earlier one of its kind; hashed, because it names a person.
    about bytea NOT NULL,
    at timestamptz NOT NULL,
    -- Personal data: kept for as long as it is needed.
    content jsonb,
    state text NOT NULL DEFAULT 'waiting',
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    -- Since when it is tried: an operator's replay begins anew.
    tried_since timestamptz NOT NULL DEFAULT now(),
    -- Tries since then, and leases ever; a write with an older fence changes nothing.
    tries integer NOT NULL DEFAULT 0,
    fence integer NOT NULL DEFAULT 0,
    ready_at timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz,
    settled_at timestamptz,
    -- How the last try failed, in words without personal data.
    reason text,
    -- What the receiver calls the lead.
    remote_id text,

    PRIMARY KEY (task, id),
    CONSTRAINT one_report_an_event UNIQUE (task, dialogue, integration, event, about),
    CONSTRAINT one_report_a_place UNIQUE (task, dialogue, integration, sequence),
    CONSTRAINT event_is_known CHECK (event IN ('success', 'contact-obtained', 'interest')),
    CONSTRAINT state_is_known CHECK (state IN ('waiting', 'sent', 'dead')),
    CONSTRAINT settled_iff_not_waiting CHECK ((settled_at IS NULL) = (state = 'waiting')),
    CONSTRAINT content_until_sent CHECK ((content IS NULL) = (state = 'sent')),
    CONSTRAINT only_the_waiting_are_leased CHECK (leased_until IS NULL OR state = 'waiting'),
    CONSTRAINT the_dead_have_a_reason CHECK (state <> 'dead' OR reason IS NOT NULL),
    CONSTRAINT only_the_sent_have_a_remote_id CHECK (remote_id IS NULL OR state = 'sent'),
    CONSTRAINT sequence_begins_at_one CHECK (sequence >= 1),
    CONSTRAINT every_try_has_a_fence CHECK (tries BETWEEN 0 AND fence)
) WITH (fillfactor = 70);
CREATE INDEX reports_waiting ON reports (integration, ready_at) WHERE state = 'waiting';
CREATE INDEX reports_leased ON reports (integration) WHERE leased_until IS NOT NULL;
CREATE INDEX reports_dead ON reports (settled_at) WHERE state = 'dead';
CREATE INDEX reports_by_id ON reports (id);

-- What an integration's receiver said of itself.
CREATE TABLE report_endpoints (
    integration text PRIMARY KEY,
    -- It is asked too much: nothing goes there before.
    rests_until timestamptz,
    -- It wants nothing any more (410), until its manifest is another one than this.
    gone_digest bytea,
    gone_at timestamptz,
    reason text,
    CONSTRAINT gone_has_its_time_and_reason CHECK (
        num_nulls(gone_digest, gone_at, reason) IN (0, 3)
    )
) WITH (fillfactor = 50);
