//! The plan as an operator reads it.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};

use super::{
    change::{BLOCKED, Blocked, Change, Drift, Held, Plan, Rejection},
    consequences::sentences,
    page::{BOLD, DIM, GREEN, Page, RED, YELLOW, printable},
};
use crate::domain::{actual::Consequences, phase::Phase, subject::Subject};

/// Writes a plan for people, with sentences about what will happen after it. `now` is asked only for the
/// offset of time zones on its day.
pub fn render_human(plan: &Plan, foreseen: &[String], now: DateTime<Utc>, color: bool) -> String {
    let mut page = Page { text: String::new(), now, color };
    // Writing to a string cannot fail.
    let _: fmt::Result = page.plan(plan, foreseen);
    page.text
}

impl Page {
    fn plan(&mut self, plan: &Plan, foreseen: &[String]) -> fmt::Result {
        let is_change = |change: &&Change| !change.ends_something() && !change.only_reverts_drift();
        for change in plan.changes.iter().filter(is_change) {
            self.change(change)?;
        }
        let drifted = plan.changes.iter().filter_map(|change| Some((change, change.drift()?)));
        for (index, (change, drift)) in drifted.enumerate() {
            if index == 0 {
                self.heading("Drifted from what was applied, and put back by an apply:")?;
            }
            self.drift(&change.subject(), drift)?;
        }
        if !foreseen.is_empty() {
            self.heading("What will happen then:")?;
            for sentence in foreseen {
                writeln!(self.text, "  {}", sentence.replace('\n', "\n  "))?;
            }
            writeln!(self.text)?;
        }
        if !plan.held.is_empty() {
            self.heading("Held as they were:")?;
            for held in &plan.held {
                self.held(held)?;
            }
        }
        if !plan.rejections.is_empty() {
            self.heading("Rejected by rule:")?;
            for rejection in &plan.rejections {
                self.rejection(rejection)?;
            }
        }
        if !plan.blocked.is_empty() {
            self.heading("Deletions that are blocked:")?;
            for blocked in &plan.blocked {
                self.blocked(blocked)?;
            }
        }
        let endings: Vec<&Change> =
            plan.changes.iter().filter(|change| change.ends_something()).collect();
        if !endings.is_empty() {
            self.heading("Deletions and recreations:")?;
            for change in endings {
                self.change(change)?;
            }
        }
        if plan.changes.is_empty() && !plan.is_rejected() {
            let (n, held) = (plan.n_unchanged, !plan.held.is_empty());
            match (n, held) {
                (0, false) => writeln!(self.text, "Nothing to do.\n")?,
                (n, false) => {
                    writeln!(self.text, "Nothing to do: {} as the manifests say.\n", are(n))?;
                }
                (0, true) => writeln!(self.text, "Nothing to do beside what is held.\n")?,
                (n, true) => writeln!(
                    self.text,
                    "Nothing to do beside what is held: {} as the manifests say.\n",
                    others_are(n)
                )?,
            }
        }
        if plan.n_left_out > 0 {
            let n = plan.n_left_out;
            writeln!(self.text, "Left out beside the targets: {n}. The plan is not complete.\n")?;
        }
        let summary = self.paint(BOLD, &plan.summary().to_string());
        writeln!(self.text, "{summary}")
    }

    fn heading(&mut self, text: &str) -> fmt::Result {
        let text = self.paint(BOLD, text);
        writeln!(self.text, "{text}\n")
    }

    fn title(&mut self, symbol: &str, code: &str, subject: &Subject, place: &str) -> fmt::Result {
        let symbol = self.paint(code, &format!("{symbol:>3}"));
        let place = self.paint(DIM, place);
        writeln!(self.text, "{symbol} {subject}  {place}")
    }

    fn change(&mut self, change: &Change) -> fmt::Result {
        match change {
            Change::CreateResource { key, place, fields } => {
                self.title("+", GREEN, &Subject::Resource(key.clone()), &place.to_string())?;
                self.fields(fields)?;
            }
            Change::UpdateResource { key, place, fields, .. } => {
                self.title("~", YELLOW, &Subject::Resource(key.clone()), &place.to_string())?;
                self.field_changes(fields)?;
            }
            Change::CreateTask { name, place, fields, audience, phase } => {
                self.title("+", GREEN, &Subject::Task(name.clone()), &place.to_string())?;
                self.fields(fields)?;
                if let Some(audience) = audience {
                    self.new_audience(audience)?;
                }
                self.first_phase(*phase)?;
            }
            Change::UpdateTask { name, place, fields, audience, phase, .. } => {
                self.title("~", YELLOW, &Subject::Task(name.clone()), &place.to_string())?;
                self.field_changes(fields)?;
                if let Some(audience) = audience {
                    self.audience_change(audience)?;
                }
                if let Some(step) = phase {
                    let (from, to) = (step.from.shown(), step.to.shown());
                    writeln!(self.text, "      {} {from} → {to}", phase_symbol(step.to))?;
                }
            }
            Change::RecreateTask {
                name,
                place,
                fields,
                audience,
                phase,
                from_phase,
                consequences,
                ..
            } => {
                self.title("-/+", RED, &Subject::Task(name.clone()), &place.to_string())?;
                self.field_changes(fields)?;
                if let Some(audience) = audience {
                    self.new_audience(audience)?;
                }
                if *from_phase != Phase::Completed {
                    writeln!(self.text, "      ■ {} → completed", from_phase.shown())?;
                }
                writeln!(self.text, "      deleted, and created again with a new id")?;
                self.consequences(*consequences)?;
                self.first_phase(*phase)?;
            }
            Change::DeleteTask { name, from_phase, consequences, .. } => {
                self.title("-", RED, &Subject::Task(name.clone()), "its manifest is gone")?;
                if *from_phase != Phase::Completed {
                    writeln!(
                        self.text,
                        "      ■ {} → completed, then deleted",
                        from_phase.shown()
                    )?;
                }
                self.consequences(*consequences)?;
            }
            Change::DeleteResource { key, .. } => {
                let subject = Subject::Resource(key.clone());
                self.title("-", RED, &subject, "its manifest is gone")?;
            }
        }
        writeln!(self.text)
    }

    fn drift(&mut self, subject: &Subject, drift: &Drift) -> fmt::Result {
        let Drift { fields, phase, at, by } = drift;
        let at = at.map(|at| at.format(" at %Y-%m-%d %H:%M:%S UTC").to_string());
        let by = by.as_ref().map(|by| format!(" by {}", printable(by)));
        let seen = format!("changed{}{}", by.unwrap_or_default(), at.unwrap_or_default());
        self.title("?", YELLOW, subject, &seen)?;
        self.field_changes(fields)?;
        if let Some(step) = phase {
            let (from, to) = (step.from.shown(), step.to.shown());
            writeln!(self.text, "      {} {from} → {to}", phase_symbol(step.to))?;
        }
        if let Subject::Task(name) = subject {
            writeln!(
                self.text,
                "      hint: `nuncio adopt {name}` writes the live values into git"
            )?;
        }
        writeln!(self.text)
    }

    fn first_phase(&mut self, phase: Phase) -> fmt::Result {
        match phase {
            Phase::InProgress => writeln!(self.text, "      ▶ starts at once"),
            Phase::Awaiting => writeln!(self.text, "      ‖ awaits its start"),
            other => writeln!(self.text, "      ■ {}", other.shown()),
        }
    }

    fn consequences(&mut self, consequences: Consequences) -> fmt::Result {
        sentences(consequences).iter().try_for_each(|line| writeln!(self.text, "      {line}"))
    }

    fn held(&mut self, held: &Held) -> fmt::Result {
        let Held { subject, file, message, fields } = held;
        self.title("‖", YELLOW, subject, file)?;
        writeln!(self.text, "      {message}")?;
        if !fields.is_empty() {
            writeln!(self.text, "      From what is live to what the manifest says:")?;
            self.field_changes(fields)?;
        }
        writeln!(self.text)
    }

    fn rejection(&mut self, rejection: &Rejection) -> fmt::Result {
        let Rejection {
            code,
            subject,
            place,
            message,
            fields,
            waiting,
            steps,
            consequences,
            remedies,
        } = rejection;
        self.title("!", RED, subject, &place.to_string())?;
        writeln!(self.text, "      {message}  [{code}]")?;
        self.field_changes(fields)?;
        if !waiting.is_empty() {
            writeln!(self.text, "      Also changed, and waiting with it:")?;
            self.field_changes(waiting)?;
        }
        if !steps.is_empty() {
            writeln!(self.text, "      The way there, with your consent:")?;
            for (index, step) in steps.iter().enumerate() {
                writeln!(self.text, "        {}. {step}", index + 1)?;
            }
        }
        if let Some(consequences) = consequences {
            self.consequences(*consequences)?;
        }
        self.remedies(remedies)
    }

    fn blocked(&mut self, blocked: &Blocked) -> fmt::Result {
        let Blocked { subject, file, message, consequences, remedies } = blocked;
        self.title("!", RED, subject, &format!("blocked, was in {file}"))?;
        writeln!(self.text, "      {message}  [{BLOCKED}]")?;
        if let Some(consequences) = consequences {
            self.consequences(*consequences)?;
        }
        self.remedies(remedies)
    }

    fn remedies(&mut self, remedies: &[String]) -> fmt::Result {
        for remedy in remedies {
            writeln!(self.text, "      hint: {remedy}")?;
        }
        writeln!(self.text)
    }
}

fn others_are(count: usize) -> String {
    if count == 1 { "1 object is".to_owned() } else { format!("{count} objects are") }
}

fn are(count: usize) -> String {
    if count == 1 { "1 object is".to_owned() } else { format!("all {count} objects are") }
}

fn phase_symbol(phase: Phase) -> &'static str {
    match phase {
        Phase::InProgress => "▶",
        Phase::Awaiting | Phase::Stopped => "‖",
        Phase::Completed => "■",
    }
}
