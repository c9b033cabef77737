//! nuncio: a declarative reconciler for the tasks of a virtual sales department.

pub mod domain;
pub mod manifest;
pub mod plan;
pub mod store;
pub mod channels;
pub mod intelligence;
pub mod integrations;
pub mod reconcile;
pub mod executor;
pub mod rehearsal;
pub mod server;
pub mod cli;
pub mod service;
pub mod connectors;
pub mod hosting;
pub mod config;
pub mod clock;
pub mod telemetry;
pub mod vaults;
