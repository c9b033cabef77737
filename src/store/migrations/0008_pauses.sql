-- Pauses with a reason and an end. Older code would not end them.

ALTER TABLE tasks
    ADD COLUMN phase_reason text,
    ADD COLUMN resume_at timestamptz,
    ADD CONSTRAINT only_stopped_resumes CHECK (resume_at IS NULL OR phase = 'stopped');
CREATE INDEX tasks_to_resume ON tasks (resume_at) WHERE resume_at IS NOT NULL;
