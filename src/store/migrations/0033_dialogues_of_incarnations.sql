-- The dialogues that end with an incarnation of a task: counted by plans, and closed when it is deleted.
CREATE INDEX dialogues_to_end ON dialogues (task_id) WHERE state IN ('open', 'with-operator', 'blocked');
