-- By what else a person is known: WhatsApp names a person by another number than the one that was dialled, or by a
-- hidden id. Older code goes on beside it, and takes each address for a person of its own.

CREATE SEQUENCE people;

-- Addresses with the same person are one person's. An address that stands here alone, or not at all, is all
-- that is known of its person.
CREATE TABLE aliases (
    address text PRIMARY KEY,
    person bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX aliases_of_person ON aliases (person);

-- The address from which the person wrote last, where it is not the dialogue's: replies go there.
ALTER TABLE dialogues ADD COLUMN reply_to text;

-- An address, and all others of its person.
CREATE FUNCTION known_addresses(of_address text) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE ROWS 2
BEGIN ATOMIC
    SELECT of_address
    UNION
    SELECT other.address FROM aliases own JOIN aliases other ON other.person = own.person
    WHERE own.address = of_address;
END;

-- As in migration 0016, and under every address by which the person is known.
CREATE OR REPLACE FUNCTION is_suppressed(address text, task text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN EXISTS (
    SELECT FROM known_addresses(is_suppressed.address) known (address)
    WHERE EXISTS (SELECT FROM suppressions s WHERE s.address = known.address
            AND s.task IN ('', is_suppressed.task))
        OR is_forgotten(known.address));

-- Both are for many addresses: whoever has no alias costs one look.
CREATE FUNCTION is_suppressed_by_alias(address text, task text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN EXISTS (SELECT FROM aliases a WHERE a.address = is_suppressed_by_alias.address)
    AND is_suppressed(address, task);

-- Whether the task has written to the person, under another address.
CREATE FUNCTION is_written_by_alias(address text, task text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN EXISTS (
    SELECT FROM aliases own JOIN aliases other ON other.person = own.person AND other.address <> own.address
    JOIN ledger l ON l.task = is_written_by_alias.task AND l.address = other.address
    WHERE own.address = is_written_by_alias.address);

CREATE OR REPLACE VIEW due_retries AS
SELECT r.*, t.name AS task
FROM retries r
JOIN tasks t ON t.id = r.task_id
WHERE EXISTS (SELECT FROM contacts c WHERE c.task_id = r.task_id AND c.position = r.position)
    AND NOT EXISTS (SELECT FROM suppressions s WHERE s.address = r.address AND s.task IN ('', t.name))
    AND NOT is_forgotten(r.address)
    AND NOT is_suppressed_by_alias(r.address, t.name);
