//! `plan_of(desired, actual)` and what the operator reads of it.
