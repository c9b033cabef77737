-- What must not be said any more, in one place for who permits a reply and who resolves its doubt; and replies
-- that are repeated although they may have arrived. Older code goes on beside it, and marks none of these.

-- Why a reply does not leave; NULL: nothing stands against it.
CREATE FUNCTION objection_to_reply(
    author text, message_turn bigint, state text, turn bigint, peer text, task text
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN is_suppressed(peer, task) THEN 'the person is not to be written to'
    WHEN author IN ('ai', 'reminder') AND state = 'with-operator' THEN 'an operator has taken over'
    WHEN author IN ('ai', 'reminder') AND message_turn < turn AND state IN ('open', 'closed')
        THEN 'something newer was said'
END;

-- An earlier call may have brought it: its provider drops the repeat, which may have to wait.
ALTER TABLE messages ADD COLUMN doubtful boolean NOT NULL DEFAULT false;
