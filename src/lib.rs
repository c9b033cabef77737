//! nuncio: a declarative reconciler for the tasks of a virtual sales department.

pub mod domain;
pub mod manifest;
