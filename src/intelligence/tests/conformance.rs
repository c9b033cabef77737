//! The client against the AI of the rehearsal.
