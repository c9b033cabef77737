//! What becomes of the people of a task that ends, in words.

use super::{document::ConsequencesDocument, recreate::contacts};
use crate::domain::actual::Consequences;

impl From<Consequences> for ConsequencesDocument {
    fn from(of: Consequences) -> Self {
        let Consequences { remaining, written, passed_over, dialogues, unanswered } = of;
        Self { remaining, written, passed_over, dialogues, unanswered }
    }
}

impl From<ConsequencesDocument> for Consequences {
    fn from(of: ConsequencesDocument) -> Self {
        let ConsequencesDocument { remaining, written, passed_over, dialogues, unanswered } = of;
        Self { remaining, written, passed_over, dialogues, unanswered }
    }
}

/// One sentence for each that is there; who remains is always told.
pub(super) fn sentences(of: Consequences) -> Vec<String> {
    let Consequences { remaining, written, passed_over, dialogues, unanswered } = of;
    let mut all = vec![format!("{} not reached yet", contacts(remaining))];
    if written > 0 {
        all.push(format!(
            "{} written to, or in doubt: carried over, and not written to again",
            contacts(written)
        ));
    }
    if passed_over > 0 {
        all.push(format!(
            "{} passed over, as the opening failed or they were suppressed: a next incarnation tries again",
            contacts(passed_over)
        ));
    }
    if dialogues > 0 {
        let closed = if dialogues == 1 { "dialogue is" } else { "dialogues are" };
        let waiting = match unanswered {
            0 => String::new(),
            n => format!("; in {n} of them somebody waits for an answer"),
        };
        all.push(format!("{dialogues} {closed} closed{waiting}"));
    }
    all
}
