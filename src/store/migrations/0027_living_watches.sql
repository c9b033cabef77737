-- Whether a watch lives: its row is kept for a while after it was killed, the session of its executor falls at
-- once. Older code goes on beside it, and waits for the row.

CREATE VIEW living_watches AS
SELECT w.id FROM watches w
WHERE w.alive_until > now() AND EXISTS (
    SELECT FROM executors e JOIN living_executors l ON l.id = e.id
    WHERE e.host = w.host AND e.pid = w.pid);
