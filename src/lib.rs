//! nuncio: a declarative reconciler for the tasks of a virtual sales department.

pub mod domain;
pub mod plan;
pub mod store;
pub mod config;
