-- What is due in dialogues is found by its place, a task on a channel: whether a place may speak is decided
-- once for it, and thousands of dialogues of a paused task, or of one outside its hours, are not looked at one by
-- one. Older code goes on beside it: the indexes still begin with the channel.

DROP INDEX dialogues_due;
CREATE INDEX dialogues_due ON dialogues (channel, task_id, due_at) WHERE due_at IS NOT NULL;
DROP INDEX dialogues_to_remind;
CREATE INDEX dialogues_to_remind ON dialogues (channel, task_id, reminder_at) WHERE reminder_at IS NOT NULL;
-- What stands before a message in its dialogue, however long that is.
CREATE INDEX messages_unsent ON messages (dialogue_id, id) WHERE state IN ('waiting', 'sending');
-- Most channels have one task. Taken to be independent, a place seems to hold next to nothing, and all that is
-- due there is read and sorted for the first few.
CREATE STATISTICS dialogues_of_place (dependencies) ON channel, task_id FROM dialogues;

-- Each view hops through its index from one place to the next: it costs as much as there are places with
-- something in them, and nothing where all is quiet.

-- Where answers are due, or will be, and the first time of each place; held ones too.
CREATE VIEW due_places AS
WITH RECURSIVE place AS (
    (SELECT channel, task_id, due_at FROM dialogues WHERE due_at IS NOT NULL
        ORDER BY channel, task_id, due_at LIMIT 1)
    UNION ALL
    SELECT next.channel, next.task_id, next.due_at
    FROM place CROSS JOIN LATERAL (
        SELECT d.channel, d.task_id, d.due_at FROM dialogues d
        WHERE d.due_at IS NOT NULL AND (d.channel, d.task_id) > (place.channel, place.task_id)
        ORDER BY d.channel, d.task_id, d.due_at LIMIT 1
    ) next
)
SELECT channel, task_id, due_at FROM place;

-- The same of reminders.
CREATE VIEW reminder_places AS
WITH RECURSIVE place AS (
    (SELECT channel, task_id, reminder_at FROM dialogues WHERE reminder_at IS NOT NULL
        ORDER BY channel, task_id, reminder_at LIMIT 1)
    UNION ALL
    SELECT next.channel, next.task_id, next.reminder_at
    FROM place CROSS JOIN LATERAL (
        SELECT d.channel, d.task_id, d.reminder_at FROM dialogues d
        WHERE d.reminder_at IS NOT NULL AND (d.channel, d.task_id) > (place.channel, place.task_id)
        ORDER BY d.channel, d.task_id, d.reminder_at LIMIT 1
    ) next
)
SELECT channel, task_id, reminder_at FROM place;

-- The channels on which messages wait, and the first time of each.
CREATE VIEW waiting_channels AS
WITH RECURSIVE place AS (
    (SELECT channel, ready_at FROM messages WHERE state = 'waiting' ORDER BY channel, ready_at LIMIT 1)
    UNION ALL
    SELECT next.channel, next.ready_at
    FROM place CROSS JOIN LATERAL (
        SELECT m.channel, m.ready_at FROM messages m
        WHERE m.state = 'waiting' AND m.channel > place.channel
        ORDER BY m.channel, m.ready_at LIMIT 1
    ) next
)
SELECT channel, ready_at FROM place;
