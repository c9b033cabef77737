-- Whoever was suppressed when their turn came, and is not any more, has their turn again. Older code goes on beside
-- it and notes nobody: whom it lets go has to wait for the next who is let go.

ALTER TABLE installation
    -- When somebody was last taken off a list, or let go by an operator.
    ADD COLUMN unsuppressed_at timestamptz;

ALTER TABLE audiences
    -- Those who were let go before it have had their turn again. Of those before the migration nobody asks.
    ADD COLUMN reviewed_until timestamptz NOT NULL DEFAULT now(),
    -- How far the review that is under way has come; 0: none is.
    ADD COLUMN review_position bigint NOT NULL DEFAULT 0;
