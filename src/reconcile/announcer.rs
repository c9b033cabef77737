//! Tells outward what changed: a command is run, and an address is posted to.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::{process::Command, sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::program::{self, Limits};
use crate::{
    domain::event::Event,
    integrations::{Notice, Notifier},
};

/// Events that wait while an earlier one is told: past a hundred changes at once, nobody reads each.
const WAITING_MAX: usize = 256;
/// A command hands the event on; it does not do the work.
const COMMAND: Limits = Limits { time: Duration::from_secs(30), output_bytes: 16 * 1024 };
/// What is left to tell must not hold a shutdown up.
const FAREWELL: Duration = Duration::from_secs(2);
/// Of a command's complaint.
const SHOWN_MAX: usize = 300;

/// To whom everything is told.
#[derive(Debug, Default)]
pub struct Audience {
    /// Run by `sh -c`, with the event on its standard input.
    pub command: Option<String>,
    pub notifier: Option<Notifier>,
}

/// Tells one event after the other.
#[derive(Debug)]
pub struct Announcer {
    events: mpsc::Receiver<Event>,
    audience: Audience,
    host: String,
    source: String,
    clock: fn() -> DateTime<Utc>,
}

/// Where events are handed in; never waited for.
#[derive(Clone, Debug)]
pub struct Announcements(mpsc::Sender<Event>);

impl Announcements {
    pub(super) fn tell(&self, event: Event) {
        if let Err(error) = self.0.try_send(event) {
            // What is true now is in `status` all the same.
            warn!("a change is not told outward, because too many wait or nobody listens: {error}");
        }
    }
}

impl Announcer {
    pub fn new(
        audience: Audience,
        host: String,
        source: String,
        clock: fn() -> DateTime<Utc>,
    ) -> (Announcements, Self) {
        let (sender, events) = mpsc::channel(WAITING_MAX);
        (Announcements(sender), Self { events, audience, host, source, clock })
    }

    /// Tells until nobody hands anything in any more, or `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let event = tokio::select! {
                event = self.events.recv() => event,
                () = shutdown.cancelled() => break,
            };
            let Some(event) = event else { return };
            let telling = self.tell(&event);
            tokio::pin!(telling);
            tokio::select! {
                () = &mut telling => {}
                () = shutdown.cancelled() => {
                    drop(timeout(FAREWELL, telling).await);
                    break;
                }
            }
        }
        self.events.close();
        let rest = async {
            while let Some(event) = self.events.recv().await {
                self.tell(&event).await;
            }
        };
        drop(timeout(FAREWELL, rest).await);
    }

    async fn tell(&self, event: &Event) {
        let Audience { command, notifier } = &self.audience;
        let notice = Notice::of(event, &self.host, &self.source, (self.clock)());
        let by_command = async {
            if let Some(command) = command {
                run(command, &notice).await;
            }
        };
        let by_post = async {
            if let Some(notifier) = notifier
                && let Err(why) = notifier.post(&notice).await
            {
                warn!("a notice was not taken by {why}");
            }
        };
        // Neither waits for the other's tries; the next event waits for both.
        tokio::join!(by_command, by_post);
    }
}

async fn run(text: &str, notice: &Notice) {
    let mut command = Command::new("sh");
    command.args(["-c", text]);
    match program::run(command, format!("{}\n", notice.as_json()).into_bytes(), COMMAND).await {
        Ok(ran) if ran.success => debug!("the command of --on-change ran: {}", ran.stdout.trim()),
        Ok(ran) => {
            let shown: String = ran.stderr.trim().chars().take(SHOWN_MAX).collect();
            warn!("the command of --on-change failed: {}", shown.escape_debug());
        }
        Err(error) => warn!("the command of --on-change: {:#}", anyhow::Error::from(error)),
    }
}
