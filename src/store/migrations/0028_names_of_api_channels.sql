-- Whom an `api` channel calls `42` is another than whom a second one calls so. Older code goes on beside it, and holds
-- only to what was said of `42` everywhere.

-- A person of a channel, as what must not be said to them is kept: under the name that the system behind an `api`
-- channel gave them, `CHANNEL/NAME`. A phone and a `@name` are the same person everywhere.
CREATE FUNCTION address_on(channel text, peer text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN peer !~ '^[+@]' AND EXISTS (SELECT FROM resources r
        WHERE r.kind = 'Channel' AND r.name = address_on.channel AND r.fields->>'kind' = 'api')
    THEN channel || '/' || peer ELSE peer END;

-- Whether nothing may be said to a person of a channel in a task.
CREATE FUNCTION is_suppressed_on(channel text, peer text, task text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN is_suppressed(peer, task) OR is_suppressed(channel || '/' || peer, task);

-- As in migration 0021, on a channel.
CREATE FUNCTION objection_to_reply(
    author text, message_turn bigint, state text, turn bigint, channel text, peer text, task text
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN is_suppressed_on(channel, peer, task) THEN 'the person is not to be written to'
    WHEN author IN ('ai', 'reminder') AND state = 'with-operator' THEN 'an operator has taken over'
    WHEN author IN ('ai', 'reminder') AND message_turn < turn AND state IN ('open', 'closed')
        THEN 'something newer was said'
END;
