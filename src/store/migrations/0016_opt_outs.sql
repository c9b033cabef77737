-- Who asked not to be written to any more, and who was forgotten. Older code holds to the first, which acts by
-- `suppressions`; it would write to who was forgotten.

-- A wish not to be written to, on every task. It acts by a row of `suppressions` under the list `!stop`, a name
-- that no manifest can give; here stands whose wish it was, and who undid it.
CREATE TABLE opt_outs (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    address text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- `person`, or an operator's name.
    by text NOT NULL,
    -- The language of the person's words; NULL where an operator did it.
    language text,
    task text,
    channel text,
    dialogue bigint,
    reason text,
    undone_at timestamptz,
    undone_by text,
    undone_reason text,
    CONSTRAINT undone_says_by_whom_and_why CHECK (num_nonnulls(undone_at, undone_by, undone_reason) IN (0, 3))
);
CREATE UNIQUE INDEX one_opt_out_stands ON opt_outs (address) WHERE undone_at IS NULL;
CREATE INDEX opt_outs_by_address ON opt_outs (address, number);

-- The key of `person_hash`: 32 random bytes, kept as the two pads that HMAC makes of it.
ALTER TABLE installation ADD COLUMN person_key_inner bytea, ADD COLUMN person_key_outer bytea;
WITH made AS (
    SELECT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
        || decode(repeat('00', 32), 'hex') AS key
)
UPDATE installation SET
    person_key_inner = (SELECT string_agg(set_byte('\x00', 0, get_byte(key, i) # 54), '' ORDER BY i)
        FROM made, generate_series(0, 63) i),
    person_key_outer = (SELECT string_agg(set_byte('\x00', 0, get_byte(key, i) # 92), '' ORDER BY i)
        FROM made, generate_series(0, 63) i);
ALTER TABLE installation
    ALTER COLUMN person_key_inner SET NOT NULL,
    ALTER COLUMN person_key_outer SET NOT NULL,
    ADD CONSTRAINT person_key_has_a_block CHECK (
        length(person_key_inner) = 64 AND length(person_key_outer) = 64);

-- HMAC-SHA256. Nobody who has only the hashes can try addresses against them; who has the whole database can.
CREATE FUNCTION keyed_hash(address text, inner_pad bytea, outer_pad bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sha256(outer_pad || sha256(inner_pad || convert_to(address, 'UTF8')));

CREATE FUNCTION person_hash(address text) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT keyed_hash(address, person_key_inner, person_key_outer) FROM installation);

-- Who was erased and must not be written to, should an audience name them again.
CREATE TABLE forgotten (
    hash bytea PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    by text NOT NULL,
    undone_at timestamptz,
    undone_by text,
    undone_reason text,
    CONSTRAINT undone_says_by_whom_and_why CHECK (num_nonnulls(undone_at, undone_by, undone_reason) IN (0, 3))
);

-- For few addresses. Where there are many, the same is written out, for the planner to look into: then
-- nothing is hashed where nobody was forgotten.
CREATE FUNCTION is_forgotten(address text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN EXISTS (SELECT FROM forgotten)
    AND EXISTS (SELECT FROM forgotten f WHERE f.hash = person_hash(address) AND f.undone_at IS NULL);

-- Whether nothing may be said to a person in a task: the one word on it for replies of any kind.
CREATE FUNCTION is_suppressed(address text, task text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN EXISTS (SELECT FROM suppressions s WHERE s.address = is_suppressed.address
        AND s.task IN ('', is_suppressed.task))
    OR is_forgotten(address);

-- As in migration 0005, and whoever was forgotten is not written to.
CREATE OR REPLACE VIEW due_retries AS
SELECT r.*, t.name AS task
FROM retries r
JOIN tasks t ON t.id = r.task_id
WHERE EXISTS (SELECT FROM contacts c WHERE c.task_id = r.task_id AND c.position = r.position)
    AND NOT EXISTS (SELECT FROM suppressions s WHERE s.address = r.address AND s.task IN ('', t.name))
    AND NOT is_forgotten(r.address);
