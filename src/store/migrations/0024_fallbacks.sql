-- A fallback that rested is asked again. Older code goes on beside it, and asks only the AIs that tasks name
-- themselves whether they are back.

-- The AI to ask for a task: the first among its own and the fallbacks that answers, or whose rest is over.
CREATE FUNCTION askable_ai(wanted text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE candidate text := wanted;
BEGIN
    FOR hop IN 1..5 LOOP
        IF candidate IS NULL THEN
            RETURN NULL;
        ELSIF NOT EXISTS (SELECT FROM ai_rests WHERE ai = candidate AND not_before > now()) THEN
            RETURN candidate;
        END IF;
        candidate := (SELECT fields->>'fallback' FROM resources WHERE kind = 'Ai' AND name = candidate);
    END LOOP;
    RETURN NULL;
END $$;
