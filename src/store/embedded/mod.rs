//! The private Postgres server for a machine without one: found, initialised, run and stopped here.
//!
//! One *supervisor* process a data folder owns the server. Every program that uses the database holds
//! a shared lock on `users.lock`; the kernel drops it with the process, however that ends. When nobody
//! holds it the supervisor stops the server and leaves. So commands beside a running `watch` share its
//! server, and a killed `watch` leaves nothing behind.

mod account;
mod installation;
mod server;
mod supervisor;

pub use installation::programs;
pub use server::{Cluster, Durability, Embedded, EmbeddedError};
pub use supervisor::supervise;
