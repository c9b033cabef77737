//! The integration tests: one binary, a real Postgres, the real program.
#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]
#![expect(clippy::disallowed_methods, reason = "the tests set the environment of the program")]

mod architecture;
mod bad_input;
mod chaos;
mod contract;
mod convergence;
mod doctor;
mod foreign;
mod formatting;
mod forecasting;
mod goldens;
mod import;
mod lifecycle;
mod outputs;
mod pipelines;
mod reviewing;
mod sending;
mod support;
mod watching;
