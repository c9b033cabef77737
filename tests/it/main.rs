//! The integration tests: one binary, a real Postgres, the real program.
#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]
#![expect(clippy::disallowed_methods, reason = "the tests set the environment of the program")]

mod architecture;
mod bad_input;
mod chaos;
mod commands;
mod conditions;
mod contract;
mod convergence;
mod doctor;
mod following;
mod forecasting;
mod foreign;
mod formatting;
mod goldens;
mod guidance;
mod import;
mod lifecycle;
mod mishaps;
mod operators;
mod outputs;
mod pipelines;
mod remote;
mod reviewing;
mod sending;
mod support;
mod telling;
mod watching;
