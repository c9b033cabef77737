//! How far a long load is: a counter on a terminal, a plain line every few seconds elsewhere.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::output::Output;

const LINE_EVERY: Duration = Duration::from_secs(3);

pub(super) struct Progress {
    output: Output,
    bar: ProgressBar,
    next_line: Mutex<Instant>,
}

impl Progress {
    pub(super) fn start(output: Output) -> Self {
        // Draws on a terminal only.
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {human_pos} contacts loaded");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self { output, bar, next_line: Mutex::new(Instant::now() + LINE_EVERY) }
    }

    pub(super) fn show(&self, contacts: u64) {
        self.bar.set_position(contacts);
        let Ok(mut next_line) = self.next_line.lock() else { return };
        if self.bar.is_hidden() && Instant::now() >= *next_line {
            *next_line = Instant::now() + LINE_EVERY;
            self.output.note(&format!("{contacts} contacts loaded so far"));
        }
    }

    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
