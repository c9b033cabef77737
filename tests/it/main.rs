//! The integration tests: one binary, a real Postgres, the real program.
#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]
#![expect(clippy::disallowed_methods, reason = "the tests set the environment of the program")]

mod ai_oracles;
mod architecture;
mod bad_input;
mod browser;
mod callbacks;
mod channel_oracles;
mod chaos;
mod commands;
mod conditions;
mod contract;
mod convergence;
mod dialogues;
mod dialogues_rehearsed;
mod dialogue_plans;
mod doctor;
mod early_news;
mod drafting;
mod following;
mod forecasting;
mod foreign;
mod foreign_receivers;
mod formatting;
mod goldens;
mod guidance;
mod hooks;
mod hosting;
mod hosting_api;
mod import;
mod lifecycle;
mod mishaps;
mod operators;
mod outputs;
mod pipelines;
mod remote;
mod reports;
mod reviewing;
mod sending;
mod support;
mod suppressing;
mod telling;
mod watching;
