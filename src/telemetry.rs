//! Logs: on stderr, for people or as JSON lines.

use tracing_subscriber::{
    EnvFilter,
    fmt::{self, format::Writer, time::FormatTime},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::clock;

/// The time of a line for people: UTC, to the millisecond.
struct Timestamp;

impl FormatTime for Timestamp {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", clock::now().format("%Y-%m-%d %H:%M:%S%.3fZ"))
    }
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

/// Starts the log. `filter` is `NUNCIO_LOG`, in the syntax of `RUST_LOG`; gives what is wrong with it.
#[must_use]
pub fn start(
    filter: Option<String>,
    format: LogFormat,
    quiet: bool,
    color: bool,
) -> Option<String> {
    let fallback = if quiet { "warn" } else { "nuncio=info,warn" };
    let (filter, wrong) = match filter.map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(fallback), Some(error.to_string())),
        None => (EnvFilter::new(fallback), None),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Human => registry
            .with(
                fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(color)
                    .with_timer(Timestamp)
                    .with_target(false)
                    .compact(),
            )
            .try_init(),
        LogFormat::Json => {
            registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init()
        }
    };
    // A second start in one process, as in tests, keeps the first.
    drop(started);
    wrong
}
