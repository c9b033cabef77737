-- Whether a channel hears what people write. Older code goes on beside it and notes nothing.

ALTER TABLE lanes
    -- Why nothing is received from the provider at the moment; NULL: it goes well, or nothing was tried.
    ADD COLUMN unheard_reason text,
    ADD COLUMN unheard_since timestamptz,
    ADD CONSTRAINT unheard_has_its_time CHECK ((unheard_reason IS NULL) = (unheard_since IS NULL));
