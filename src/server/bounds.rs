//! How many connections there may be, and how slow they may be.

use std::time::Duration;

/// Fits into the usual limit of 1024 open files, with what the program needs itself.
const CONNECTIONS_MAX: usize = 800;
/// For the head of a request, and for the silence between two of them on one connection.
const HEAD_DEADLINE: Duration = Duration::from_secs(15);
/// For a whole body; a phone on a bad line takes a second or two.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// A reader that takes nothing any more holds a place no longer than this.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// What a server grants to whoever connects.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub connections_max: usize,
    pub head_deadline: Duration,
    pub body_deadline: Duration,
    pub connection_lifetime: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            head_deadline: HEAD_DEADLINE,
            body_deadline: BODY_DEADLINE,
            connection_lifetime: CONNECTION_LIFETIME,
        }
    }
}
