-- Hosted channels: who visits them, what was shown to their people in which order, and what is posted to the
-- systems behind them. Older code goes on beside it: the triggers keep the order for it too.

-- Visitors of our own pages. What they show us is a secret; only its digest is kept.
CREATE TABLE visitors (
    channel text NOT NULL,
    id uuid NOT NULL,
    secret_digest bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (channel, id),
    CONSTRAINT secret_digest_is_sha256 CHECK (octet_length(secret_digest) = 32)
);
CREATE INDEX visitors_by_silence ON visitors (seen_at);

-- The order in which the messages of a hosted channel came to be seen by their person. The identity of a
-- message does not say it: one that waits is overtaken by the person's next one.
CREATE SEQUENCE message_positions;
ALTER TABLE messages ADD COLUMN position bigint;
CREATE INDEX messages_shown ON messages (dialogue_id, position) WHERE position IS NOT NULL;
CREATE INDEX messages_to_poll ON messages (channel, position) WHERE position IS NOT NULL AND author <> 'person';

-- Messages of ours that are to be posted to the system behind an `api` channel, until it has taken them.
CREATE TABLE callbacks (
    position bigint PRIMARY KEY,
    channel text NOT NULL,
    dialogue_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state text NOT NULL DEFAULT 'due',
    due_at timestamptz DEFAULT clock_timestamp(),
    tries integer NOT NULL DEFAULT 0,
    -- Rises with each lease; an outcome under an older one changes nothing.
    lease bigint NOT NULL DEFAULT 0,
    reason text,
    CONSTRAINT callback_state_is_known CHECK (state IN ('due', 'dead')),
    CONSTRAINT due_iff_it_has_a_time CHECK ((due_at IS NOT NULL) = (state = 'due'))
);
CREATE INDEX callbacks_due ON callbacks (channel, due_at) WHERE state = 'due';
CREATE INDEX callbacks_of_dialogue ON callbacks (dialogue_id, position) WHERE state = 'due';

-- An address that answered 410: nothing is posted there until the manifest names another.
CREATE TABLE callback_stops (
    channel text PRIMARY KEY,
    url text NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION show_message() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM lanes WHERE channel = NEW.channel AND hosted) THEN
        RETURN NEW;
    END IF;
    IF NEW.author <> 'person' THEN
        -- To the end of the transaction: whoever polls by position must not see a later one before this.
        -- A dialogue's messages are ordered by the lock of its row, which is held here already.
        PERFORM pg_advisory_xact_lock(28278, hashtext(NEW.channel));
    END IF;
    NEW.position := nextval('message_positions');
    IF NEW.author <> 'person' AND EXISTS (SELECT FROM resources r
            WHERE r.kind = 'Channel' AND r.name = NEW.channel AND r.fields ? 'callbackUrl'
                AND NOT EXISTS (SELECT FROM callback_stops s
                    WHERE s.channel = r.name AND s.url = r.fields->>'callbackUrl')) THEN
        INSERT INTO callbacks (position, channel, dialogue_id)
        VALUES (NEW.position, NEW.channel, NEW.dialogue_id);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_message_is_shown BEFORE INSERT OR UPDATE OF state ON messages
    FOR EACH ROW WHEN (NEW.position IS NULL AND (NEW.author = 'person' OR NEW.state = 'sent'))
    EXECUTE FUNCTION show_message();

-- Whoever shows a dialogue shows that an answer is being made.
CREATE FUNCTION tell_of_typing() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM lanes WHERE channel = NEW.channel AND hosted) THEN
        PERFORM pg_notify('nuncio_dialogues', '');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER typing_is_told AFTER UPDATE OF held_fence ON dialogues
    FOR EACH ROW WHEN ((OLD.held_fence IS NULL) <> (NEW.held_fence IS NULL))
    EXECUTE FUNCTION tell_of_typing();
