//! `nuncio apply`: writes a plan, after a look at it.

use std::{
    io::{IsTerminal as _, stdin},
    sync::Mutex,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    Common, ExitStatus,
    output::Output,
    plan::{Consent, make},
};
use crate::{clock, config, plan::render_human, reconcile::apply, service::Database};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    consent: Consent,
    /// Do not ask
    #[arg(long)]
    auto_approve: bool,
    /// How long to wait for another writer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    lock_timeout: Duration,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let made = make(common, &args.consent, &database.store, output).await?;
    let Some((survey, plan)) = made else { return Ok(ExitStatus::Error) };
    output.data(&render_human(&plan, clock::now(), output.stdout_color));
    if plan.is_rejected() {
        output.error("nothing was applied: the plan has parts that a rule forbids");
        return Ok(ExitStatus::Rejected);
    }
    if plan.has_changes() && !args.auto_approve {
        if !stdin().is_terminal() {
            output.error("nothing was applied: nobody can be asked, because stdin is no terminal");
            output.hint("give --auto-approve");
            return Ok(ExitStatus::Error);
        }
        if !confirm(output).await? {
            output.note("Nothing was applied.");
            return Ok(ExitStatus::Error);
        }
    }
    let progress = Progress::start(output);
    let on_progress = |contacts: u64| progress.show(contacts);
    let by = config::actor();
    let applied =
        apply(&plan, &survey, &database.store, &by, args.lock_timeout, &on_progress).await;
    progress.bar.finish_and_clear();
    let applied = applied?;
    if plan.has_changes() {
        let contacts = match applied.contacts {
            0 => String::new(),
            1 => ", 1 contact loaded".to_owned(),
            n => format!(", {n} contacts loaded"),
        };
        output.note(&format!("Applied{contacts}."));
    }
    Ok(ExitStatus::Success)
}

async fn confirm(output: Output) -> anyhow::Result<bool> {
    output.note("Apply this plan? Only `yes` is accepted:");
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        stdin().read_line(&mut answer).map(|_| answer)
    });
    Ok(answer.await??.trim() == "yes")
}

/// How far a long load is: a counter on a terminal, a plain line every few seconds elsewhere.
struct Progress {
    output: Output,
    bar: ProgressBar,
    next_line: Mutex<Instant>,
}

const LINE_EVERY: Duration = Duration::from_secs(3);

impl Progress {
    fn start(output: Output) -> Self {
        // Draws on a terminal only.
        let bar = ProgressBar::new_spinner();
        let style =
            ProgressStyle::with_template("{spinner} {human_pos} contacts loaded, {per_sec}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self { output, bar, next_line: Mutex::new(Instant::now() + LINE_EVERY) }
    }

    fn show(&self, contacts: u64) {
        self.bar.set_position(contacts);
        let Ok(mut next_line) = self.next_line.lock() else { return };
        if self.bar.is_hidden() && Instant::now() >= *next_line {
            *next_line = Instant::now() + LINE_EVERY;
            self.output.note(&format!("{contacts} contacts loaded so far"));
        }
    }
}
