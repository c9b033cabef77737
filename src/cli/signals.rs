//! The signals that ask a long command to leave.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ExitStatus;

/// From here on a signal ends nothing by itself: whoever holds this leaves in order.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next one, as what the program then exits with.
    pub(super) async fn next(&mut self) -> ExitStatus {
        tokio::select! {
            _ = self.interrupt.recv() => ExitStatus::Interrupted,
            _ = self.terminate.recv() => ExitStatus::Terminated,
        }
    }
}
