-- Whether the task has written to the person under another address, or is to try that one first. What may have
-- arrived goes before what certainly has not.
CREATE FUNCTION is_written_elsewhere(address text, task text, opening bigint, in_doubt boolean) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN EXISTS (
    SELECT FROM aliases own JOIN aliases other ON other.person = own.person AND other.address <> own.address
    JOIN ledger l ON l.task = is_written_elsewhere.task AND l.address = other.address
    WHERE own.address = is_written_elsewhere.address
        AND NOT EXISTS (SELECT FROM retries r WHERE r.opening = l.opening AND NOT r.in_doubt
            AND (is_written_elsewhere.in_doubt OR r.opening > is_written_elsewhere.opening)));

-- As in migration 0022, and a person who was written to under another address is not tried again.
CREATE OR REPLACE VIEW due_retries AS
SELECT r.*, t.name AS task
FROM retries r
JOIN tasks t ON t.id = r.task_id
WHERE EXISTS (SELECT FROM contacts c WHERE c.task_id = r.task_id AND c.position = r.position)
    AND NOT EXISTS (SELECT FROM suppressions s WHERE s.address = r.address AND s.task IN ('', t.name))
    AND NOT is_forgotten(r.address)
    AND NOT is_suppressed_by_alias(r.address, t.name)
    AND NOT is_written_elsewhere(r.address, t.name, r.opening, r.in_doubt);

-- As in migration 0019, and no draft fails between the two statements.
CREATE OR REPLACE FUNCTION void_drafts(of_task uuid, only_failed boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    -- Whoever grants permits moves the cursor under this lock, and passes over those that failed.
    PERFORM FROM audiences a WHERE a.task_id = of_task FOR UPDATE;
    PERFORM FROM drafts d WHERE d.task_id = of_task AND d.state IN ('due', 'written', 'failed')
    ORDER BY d.id FOR UPDATE;
    INSERT INTO retries (opening, task_id, position, address, key, tries, ready_at, in_doubt)
    SELECT nextval('opening_ids'), d.task_id, d.position, d.address, opening_key(d.task, d.address), 0,
        clock_timestamp(), false
    FROM drafts d
    JOIN audiences a ON a.task_id = d.task_id AND d.position <= a.cursor_position
    JOIN contacts c ON c.task_id = d.task_id AND c.position = d.position AND c.address = d.address
    WHERE d.task_id = of_task AND d.state = 'failed' AND d.dialogue_id IS NULL
        AND NOT EXISTS (SELECT FROM ledger l WHERE l.task = d.task AND l.address = d.address)
        AND NOT EXISTS (SELECT FROM retries r WHERE r.task_id = d.task_id AND r.address = d.address);
    UPDATE drafts d SET state = 'due', due_at = clock_timestamp(), text = NULL, reason = NULL,
        turn = turn + 1, failures = 0, held_channel = NULL, held_fence = NULL
    WHERE d.task_id = of_task AND d.dialogue_id IS NULL AND d.state IN ('due', 'written', 'failed')
        AND (d.state = 'failed' OR NOT only_failed);
    IF NOT only_failed THEN
        -- Certainly not sent, and to be tried again.
        UPDATE drafts d SET state = 'due', due_at = clock_timestamp(), text = NULL, turn = turn + 1,
            failures = 0
        FROM retries r
        WHERE r.task_id = of_task AND NOT r.in_doubt AND d.task_id = of_task AND d.address = r.address
            AND d.state = 'used' AND d.dialogue_id IS NULL;
    END IF;
END $$;

-- How many contacts a permit passes over, where it has just met more of them than it usually does.
ALTER TABLE audiences ADD COLUMN skips integer;
