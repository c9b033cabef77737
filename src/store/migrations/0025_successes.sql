-- A success counts for ever, whoever owns the dialogue by now; and who wrote on after one waits for nobody. Older
-- code goes on beside it, and the successes that it brings are not counted.

ALTER TABLE dialogues ADD COLUMN succeeded_at timestamptz;
UPDATE dialogues d SET succeeded_at = first.at
FROM (SELECT dialogue_id, min(at) AS at FROM dialogue_events WHERE event = 'succeeded' GROUP BY dialogue_id) first
WHERE d.id = first.dialogue_id;

-- By state: thousands who say thank you do not stand between those who wait.
DROP INDEX dialogues_waiting;
CREATE INDEX dialogues_waiting ON dialogues (state, waiting_since, id) INCLUDE (task) WHERE waiting_since IS NOT NULL;
