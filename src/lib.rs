//! nuncio: a declarative reconciler for the tasks of a virtual sales department.

pub mod domain;
pub mod plan;
pub mod store;
pub mod channels;
pub mod executor;
pub mod rehearsal;
pub mod config;
