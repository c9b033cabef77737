-- Dialogues: what people write, what is answered, and what the answers cost. Older code goes on beside it and
-- answers nobody.

-- Every channel has a lane: replies leave through it too, by the executor that holds it.
ALTER TABLE lanes
    -- The messages are read from this database by their people: nobody else is called.
    ADD COLUMN hosted boolean NOT NULL DEFAULT false;
INSERT INTO lanes (channel, daily_limit, drops_repeats, hosted)
SELECT name, 0, fields->>'kind' IN ('vk-public', 'page-messenger', 'iframe', 'widget', 'api'),
    fields->>'kind' IN ('page-messenger', 'iframe', 'widget', 'api')
FROM resources WHERE kind = 'Channel'
ON CONFLICT DO NOTHING;

-- What was said first; absent while the outcome is not recorded.
ALTER TABLE attempts ADD COLUMN text text;
-- What the provider told of the message later.
ALTER TABLE attempts ADD COLUMN delivery text
    CONSTRAINT delivery_is_known CHECK (delivery IN ('sent', 'delivered', 'read', 'failed'));
CREATE INDEX attempts_by_key ON attempts (channel, key);

CREATE TABLE dialogues (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id uuid NOT NULL,
    task text NOT NULL,
    channel text NOT NULL,
    -- The person's address on the channel.
    peer text NOT NULL,
    manager text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),

    state text NOT NULL DEFAULT 'open',
    state_by text NOT NULL DEFAULT 'nuncio',
    state_reason text,
    state_at timestamptz NOT NULL DEFAULT clock_timestamp(),

    -- Rises with whatever makes an answer in the making out of date: the person's next message, an
    -- operator's act, an outcome.
    turn bigint NOT NULL DEFAULT 0,
    -- The person's first message that nobody has answered.
    waiting_since timestamptz,
    -- When the AI is to answer; NULL: it is not.
    due_at timestamptz,
    -- Answers that failed since the person's last message.
    failures integer NOT NULL DEFAULT 0,
    -- The fence of the channel's lane under which an answer is being made, and the turn that it answers.
    held_fence bigint,
    held_turn bigint,

    -- Micro-dollars: settled costs, and the reservations of calls that are not settled.
    spent bigint NOT NULL DEFAULT 0,
    -- What operators granted beyond the task's limit.
    allowance bigint NOT NULL DEFAULT 0,

    reminder_at timestamptz,
    -- The reminder of the AI's manifest that is next.
    reminder_index integer NOT NULL DEFAULT 0,
    -- A reminder that the AI asked for, in its words.
    reminder_text text,

    -- What the messages up to one of them came to, where the history is too long for a call.
    summary text,
    summary_until bigint,

    CONSTRAINT one_dialogue_a_person UNIQUE (channel, peer, task_id),
    CONSTRAINT state_is_known CHECK (state IN ('open', 'with-operator', 'succeeded', 'closed', 'blocked')),
    CONSTRAINT only_open_ones_are_answered CHECK (due_at IS NULL OR state = 'open'),
    CONSTRAINT only_open_ones_remind CHECK (reminder_at IS NULL OR state = 'open'),
    CONSTRAINT held_by_fence_and_turn CHECK ((held_fence IS NULL) = (held_turn IS NULL)),
    CONSTRAINT spending_is_not_negative CHECK (spent >= 0 AND allowance >= 0)
) WITH (fillfactor = 70);
CREATE INDEX dialogues_due ON dialogues (channel, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX dialogues_to_remind ON dialogues (channel, reminder_at) WHERE reminder_at IS NOT NULL;
CREATE INDEX dialogues_of_task ON dialogues (task, id);
CREATE INDEX dialogues_of_person ON dialogues (peer);
CREATE INDEX dialogues_waiting ON dialogues (waiting_since) WHERE waiting_since IS NOT NULL;

CREATE TABLE messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dialogue_id bigint NOT NULL,
    channel text NOT NULL,
    author text NOT NULL,
    text text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- By the provider's clock.
    provider_at timestamptz,
    provider_message_id text,
    -- The operator who said it.
    said_by text,

    -- Of ours, from here on.
    state text,
    reason text,
    -- The dialogue's turn that it answers: with a later one an AI's message is not sent any more.
    turn bigint,
    key bigint,
    fence bigint,
    tries integer NOT NULL DEFAULT 0,
    ready_at timestamptz,
    -- When its way out was permitted: the intent, committed before the call.
    sending_at timestamptz,

    CONSTRAINT author_is_known CHECK (author IN ('person', 'opening', 'ai', 'operator', 'reminder', 'handover')),
    CONSTRAINT ours_has_a_state CHECK ((author = 'person') = (state IS NULL)),
    CONSTRAINT message_state_is_known CHECK (state IN ('waiting', 'sending', 'sent', 'delivered', 'read',
        'failed', 'in-doubt', 'discarded')),
    CONSTRAINT ready_iff_waiting CHECK ((ready_at IS NOT NULL) = (state IS NOT DISTINCT FROM 'waiting')),
    CONSTRAINT sending_under_a_fence CHECK (state IS DISTINCT FROM 'sending'
        OR num_nonnulls(fence, key, sending_at) = 3),
    CONSTRAINT key_is_not_zero CHECK (key <> 0)
) WITH (fillfactor = 90);
CREATE INDEX messages_of_dialogue ON messages (dialogue_id, id);
CREATE UNIQUE INDEX a_message_is_received_once ON messages (channel, provider_message_id)
    WHERE author = 'person' AND provider_message_id IS NOT NULL;
CREATE INDEX messages_by_provider_id ON messages (channel, provider_message_id)
    WHERE author <> 'person' AND provider_message_id IS NOT NULL;
CREATE INDEX messages_by_key ON messages (key) WHERE key IS NOT NULL;
CREATE INDEX messages_to_send ON messages (channel, ready_at) WHERE state = 'waiting';
CREATE INDEX messages_in_flight ON messages (channel) WHERE state = 'sending';

-- What was pushed or polled, as it came.
CREATE TABLE deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY,
    channel text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    -- Whom it is from, so that a person can be erased.
    peers text[] NOT NULL,
    PRIMARY KEY (id, received_at)
) PARTITION BY RANGE (received_at);
CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT;

-- Where a channel that is polled goes on.
CREATE TABLE receive_cursors (
    channel text PRIMARY KEY,
    cursor text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

-- Calls of an AI: the reservation, committed before the call, and later what it cost.
CREATE TABLE ai_calls (
    id bigint GENERATED ALWAYS AS IDENTITY,
    dialogue_id bigint NOT NULL,
    task text NOT NULL,
    ai text NOT NULL,
    model text NOT NULL,
    fence bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    reserved bigint NOT NULL,
    cost bigint,
    input_tokens bigint,
    cached_input_tokens bigint,
    output_tokens bigint,
    reasoning_tokens bigint,
    estimated boolean,
    settled_at timestamptz,
    ending text,
    PRIMARY KEY (id, at),
    CONSTRAINT reserved_is_not_negative CHECK (reserved >= 0),
    CONSTRAINT settled_with_its_cost CHECK ((settled_at IS NULL) = (cost IS NULL))
) PARTITION BY RANGE (at);
CREATE TABLE ai_calls_default PARTITION OF ai_calls DEFAULT;
CREATE INDEX ai_calls_of_dialogue ON ai_calls (dialogue_id, id);

-- Sums by UTC day of the reservation: reservations that are not settled count whole.
CREATE TABLE spending (
    day date NOT NULL,
    task text NOT NULL,
    ai text NOT NULL,
    model text NOT NULL,
    n_calls bigint NOT NULL DEFAULT 0,
    spent bigint NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL DEFAULT 0,
    cached_input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (day, task, ai, model)
) WITH (fillfactor = 50);

-- An AI that does not answer: nobody asks it before this.
CREATE TABLE ai_rests (
    ai text PRIMARY KEY,
    failures integer NOT NULL,
    not_before timestamptz NOT NULL,
    class text NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);

-- What happened in a dialogue beside its messages.
CREATE TABLE dialogue_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dialogue_id bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    event text NOT NULL,
    by text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX events_of_dialogue ON dialogue_events (dialogue_id, id);

-- A task's limit for each of its dialogues, in micro-dollars.
CREATE FUNCTION spending_limit(fields jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN round((fields->'spendingLimitPerDialogue'->>'number')::numeric * 1000000)::bigint;

-- How far a message of ours has come: news of a provider only ever raises it.
CREATE FUNCTION message_rank(state text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE state WHEN 'sent' THEN 1 WHEN 'delivered' THEN 2 WHEN 'read' THEN 3 WHEN 'failed' THEN 4 ELSE 0 END;

-- A key for one message, the same for every attempt at it.
CREATE FUNCTION new_message_key() RETURNS bigint
LANGUAGE sql VOLATILE
RETURN opening_key(gen_random_uuid()::text, '');

-- The AI that a task's AI comes to: itself, or while it rests, the first of its fallbacks that does not.
CREATE FUNCTION awake_ai(wanted text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE candidate text := wanted;
BEGIN
    FOR hop IN 1..5 LOOP
        IF candidate IS NULL THEN
            RETURN NULL;
        ELSIF NOT EXISTS (SELECT FROM ai_rests WHERE ai = candidate) THEN
            RETURN candidate;
        END IF;
        candidate := (SELECT fields->>'fallback' FROM resources WHERE kind = 'Ai' AND name = candidate);
    END LOOP;
    RETURN NULL;
END $$;

-- The partitions of this month and the next.
CREATE FUNCTION create_partitions(parent text, at_column text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    month date;
    occupied boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('nuncio partitions'));
    FOR month IN SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => m))::date
        FROM generate_series(0, 1) m LOOP
        CONTINUE WHEN to_regclass(parent || '_' || to_char(month, 'YYYY_MM')) IS NOT NULL;
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %I >= %L AND %I < %L)', parent || '_default',
            at_column, month::timestamp AT TIME ZONE 'UTC', at_column,
            (month + interval '1 month')::timestamp AT TIME ZONE 'UTC') INTO occupied;
        CONTINUE WHEN occupied;
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
            parent || '_' || to_char(month, 'YYYY_MM'), parent, month::timestamp AT TIME ZONE 'UTC',
            (month + interval '1 month')::timestamp AT TIME ZONE 'UTC');
    END LOOP;
END $$;
