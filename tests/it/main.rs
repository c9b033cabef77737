//! The integration tests: one binary, a real Postgres, the real program.
#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod architecture;
mod chaos;
mod lifecycle;
mod support;
mod watching;
