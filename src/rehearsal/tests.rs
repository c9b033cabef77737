//! The providers refuse what the real ones refuse, and forget nothing.
