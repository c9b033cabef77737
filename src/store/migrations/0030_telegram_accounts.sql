-- Accounts of Telegram: their sessions, and by what they reach people. Older code goes on beside it, and knows of no
-- such account.

-- What was agreed on when somebody signed in, encrypted by a key that is not in this database.
CREATE TABLE telegram_sessions (
    channel text PRIMARY KEY,
    sealed bytea NOT NULL,
    user_id bigint NOT NULL,
    signed_in_by text NOT NULL,
    signed_in_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Without its hash nobody is written to, and the hash is worth nothing to another account.
CREATE TABLE telegram_people (
    channel text NOT NULL,
    address text NOT NULL,
    user_id bigint NOT NULL,
    access_hash bigint NOT NULL,
    PRIMARY KEY (channel, address)
);
-- For whoever is forgotten.
CREATE INDEX telegram_people_by_address ON telegram_people (address);
