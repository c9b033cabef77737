//! The loop that delivers reports: lease, call, record; again and again.
//!
//! A wake-up carries no data; every pass looks at everything. Calls run beside the loop and outside any
//! transaction. What a stop leaves unanswered is leased again when its lease has run out.

use std::{collections::HashMap, time::Duration};

use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    reporters::ReportConnector,
    rounds::{Rounds, say_last_words},
};
use crate::{
    domain::report::{Report, ReportCall, ReportOutcome},
    store::{LeasedReport, REPORT_LEASE, RecordedReport, Store, StoreError},
};

/// Dialogues that are reported at once by one program: each call is open for seconds at most, and a
/// receiver is asked by far fewer of them.
const CALLS_MAX: usize = 16;
/// Without a wake-up, a report waits for no longer than this: another program's lease may have run out.
const LOOK: Duration = Duration::from_secs(5);
/// Between two looks when a report is due and none was leased: others hold its integration's places.
const BUSY_PAUSE: Duration = Duration::from_millis(250);
/// How long running calls may finish after a stop was asked for.
const GRACE: Duration = Duration::from_secs(3);
/// A call takes half a minute. One that begins later than this after its lease could meet the next lease.
const BEGUN_BEFORE: Duration = Duration::from_secs(REPORT_LEASE.as_secs() / 3);

/// The deliverer of reports.
#[derive(Debug)]
pub struct Reports {
    store: Store,
    connector: ReportConnector,
    calls: JoinSet<ReportOutcome>,
    /// Reports whose call runs.
    calling: HashMap<Id, LeasedReport>,
    /// Calls that ended and are not recorded yet.
    ended: Vec<(LeasedReport, ReportOutcome)>,
}

impl Reports {
    pub fn new(store: Store, connector: ReportConnector) -> Self {
        Self { store, connector, calls: JoinSet::new(), calling: HashMap::new(), ended: Vec::new() }
    }

    /// Delivers until `shutdown`, and then leaves in order.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut rounds = Rounds::of("reports");
        while !shutdown.is_cancelled() {
            rounds.register(self.store.dialogue_wakeups()).await;
            // A pass that is broken off loses nothing: what was leased unseen is leased again later, and
            // what ended is kept until its record succeeded.
            let until = rounds.look(self.pass()).await.unwrap_or_else(|again| again);
            self.wait(&shutdown, &mut rounds, until).await;
        }
        self.leave().await;
    }

    /// One look at everything. Gives the time of the next one.
    async fn pass(&mut self) -> Result<Instant, StoreError> {
        self.record().await?;
        let free = CALLS_MAX.saturating_sub(self.calls.len());
        if free == 0 {
            return Ok(Instant::now() + LOOK);
        }
        // Before the statement: the lease runs from its grant, which is later.
        let asked_at = Instant::now();
        let limit = u32::try_from(free).unwrap_or(u32::MAX);
        let leased = self.store.lease_due_reports(limit).await?;
        let is_idle = leased.is_empty();
        for report in leased {
            self.call(report, asked_at);
        }
        let next = match self.store.next_report_in().await? {
            Some(wait) if is_idle => wait.max(BUSY_PAUSE).min(LOOK),
            Some(wait) => wait.max(BUSY_PAUSE / 10).min(LOOK),
            None => LOOK,
        };
        Ok(Instant::now() + next)
    }

    fn call(&mut self, leased: LeasedReport, asked_at: Instant) {
        let LeasedReport { report, fence, remote_id, spec, .. } = leased.clone();
        let connector = self.connector.clone();
        let call = self.calls.spawn(async move {
            // Our own clock may only make us stop earlier: a process that was frozen since the lease
            // must not call beside the next one that holds it.
            if asked_at.elapsed() > BEGUN_BEFORE {
                let reason = "the lease ran out before the call".to_owned();
                return ReportOutcome::Retry { after: None, reason };
            }
            let unreadable = || "its manifest cannot be read back".to_owned();
            let connected = spec
                .ok_or_else(unreadable)
                .and_then(|spec| connector.connect(&report.integration, &spec));
            let reporter = match connected {
                Ok(reporter) => reporter,
                // The secret may come, and then the report is delivered.
                Err(problem) => {
                    let reason = format!("integration `{}`: {problem}", report.integration);
                    return ReportOutcome::Retry { after: None, reason };
                }
            };
            let call = ReportCall {
                report: &report,
                tries: u32::try_from(fence).unwrap_or(u32::MAX),
                remote_id: remote_id.as_deref(),
                now: (connector.clock)(),
            };
            reporter.report(&call).await
        });
        self.calling.insert(call.id(), leased);
    }

    /// Records what ended. What could not be recorded is kept for the next pass.
    async fn record(&mut self) -> Result<(), StoreError> {
        while let Some(joined) = self.calls.try_join_next_with_id() {
            self.take(joined);
        }
        while let Some((leased, outcome)) = self.ended.last() {
            let recorded = self.store.record_report(leased, outcome).await?;
            tell(&leased.report, outcome, recorded);
            self.ended.pop();
        }
        Ok(())
    }

    fn take(&mut self, joined: Result<(Id, ReportOutcome), JoinError>) {
        let (call, outcome) = match joined {
            Ok(ended) => ended,
            // A driver that panicked: nobody knows what it had done before.
            Err(error) => {
                let reason = "the driver failed in the call".to_owned();
                (error.id(), ReportOutcome::Retry { after: None, reason })
            }
        };
        if let Some(leased) = self.calling.remove(&call) {
            self.ended.push((leased, outcome));
        }
    }

    /// Waits for the next thing to happen, and takes what ended.
    async fn wait(&mut self, shutdown: &CancellationToken, rounds: &mut Rounds, until: Instant) {
        // Every arm may be dropped at any moment: the calls stay in their set, a lost wake-up is made up
        // by the next look.
        tokio::select! {
            () = shutdown.cancelled() => {}
            Some(joined) = self.calls.join_next_with_id() => self.take(joined),
            () = rounds.woken() => {}
            () = sleep_until(until) => {}
        }
    }

    /// No more leases; running calls may finish for a while.
    async fn leave(mut self) {
        let deadline = Instant::now() + GRACE;
        while let Ok(Some(joined)) = timeout_at(deadline, self.calls.join_next_with_id()).await {
            self.take(joined);
        }
        let unanswered = self.calls.len();
        self.calls.abort_all();
        if unanswered > 0 {
            warn!(unanswered, "reports without an answer are tried again later");
        }
        let deadline = deadline + Duration::from_secs(1);
        say_last_words(deadline, "what became of reports was not recorded", self.record()).await;
    }
}

fn tell(report: &Report, outcome: &ReportOutcome, recorded: RecordedReport) {
    let Report { id, integration, new, .. } = report;
    let (task, dialogue, event) = (&new.task, new.dialogue, new.event);
    let reason = match outcome {
        ReportOutcome::Done { .. } => "",
        ReportOutcome::Retry { reason, .. }
        | ReportOutcome::Throttled { reason, .. }
        | ReportOutcome::Gone { reason }
        | ReportOutcome::Refused { reason } => reason,
    };
    match recorded {
        RecordedReport::Sent => info!(%task, %dialogue, %integration, %event, "reported"),
        RecordedReport::Waits => {
            warn!(%task, %dialogue, %integration, report = %id, "reported later: {reason}");
        }
        RecordedReport::Dead => {
            warn!(%task, %dialogue, %integration, report = %id, "given up: {reason}");
        }
        RecordedReport::Stale => {
            warn!(%task, %dialogue, %integration, report = %id, "leased anew before its record");
        }
    }
}
