-- What an opening ends as that the provider refuses because there are too many to strangers. Older code never writes
-- it, and reads it as the word of a newer version.
ALTER TABLE attempts DROP CONSTRAINT outcome_is_known,
    ADD CONSTRAINT outcome_is_known CHECK (outcome IN ('sent', 'recipient-permanent', 'message-permanent',
        'window-closed', 'retry-after', 'not-sent', 'in-doubt', 'channel-blocked', 'openings-blocked',
        'credential-refused', 'our-mistake'));
