-- A lane that may open no dialogues and may answer; and when whoever had a lane before has let go of it. Older code
-- goes on beside it: it answers on no lane whose openings are blocked, and says of no lane that it may not be held.

-- The class of a block that leaves the dialogues alone. Whoever opens asks for any block.
CREATE FUNCTION may_answer(blocked_class text, blocked_until timestamptz) RETURNS boolean
LANGUAGE sql STABLE
RETURN blocked_class IS NULL OR blocked_class = 'openings-blocked' OR coalesce(blocked_until <= now(), false);

-- Before then the process that had it may believe that it has it still.
ALTER TABLE lanes ADD COLUMN let_go_at timestamptz;
