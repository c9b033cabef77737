-- Lists of dialogues: each names its last message, so that a page of any list is read from one index. Older code
-- goes on beside it: the trigger keeps the column.

ALTER TABLE dialogues ADD COLUMN last_message_id bigint NOT NULL DEFAULT 0;
UPDATE dialogues d SET last_message_id = latest.id
FROM (SELECT dialogue_id, max(id) AS id FROM messages GROUP BY dialogue_id) latest
WHERE d.id = latest.dialogue_id;

CREATE FUNCTION name_last_message() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE dialogues d SET last_message_id = latest.id
    FROM (SELECT dialogue_id, max(id) AS id FROM inserted GROUP BY dialogue_id) latest
    WHERE d.id = latest.dialogue_id AND d.last_message_id < latest.id;
    RETURN NULL;
END $$;
CREATE TRIGGER name_last_message AFTER INSERT ON messages
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION name_last_message();

-- The newest of each state, of all or of a task's or a channel's; lists put the states together.
CREATE INDEX dialogues_by_state ON dialogues (state, last_message_id);
DROP INDEX dialogues_of_task;
CREATE INDEX dialogues_of_task ON dialogues (task, state, last_message_id);
CREATE INDEX dialogues_of_channel ON dialogues (channel, state, last_message_id);

-- Nobody owes an answer in a dialogue that was closed.
DROP INDEX dialogues_waiting;
CREATE INDEX dialogues_waiting ON dialogues (waiting_since, id)
    WHERE waiting_since IS NOT NULL AND state <> 'closed';

CREATE INDEX messages_in_doubt ON messages (dialogue_id, id) WHERE state = 'in-doubt' AND author <> 'opening';
