//! Every driver against the rehearsal and against servers that misbehave.
