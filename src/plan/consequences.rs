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

/// One sentence for each that is there; who remains is told wherever there was anybody.
pub(super) fn sentences(of: Consequences) -> Vec<String> {
    let Consequences { remaining, written, passed_over, dialogues, unanswered } = of;
    let mut all = Vec::new();
    if remaining + written + passed_over > 0 {
        all.push(format!("{} not reached yet", contacts(remaining)));
    }
    if written > 0 {
        all.push(format!(
            "{} written to, or in doubt: carried over, and not written to again",
            contacts(written)
        ));
    }
    if passed_over > 0 {
        all.push(format!(
            "{} passed over (failed or suppressed): a new incarnation tries again",
            contacts(passed_over)
        ));
    }
    all.extend(match (dialogues, unanswered) {
        (0, _) => None,
        (1, 0) => Some("1 dialogue is closed".to_owned()),
        (1, _) => Some("1 dialogue is closed, in which somebody waits for an answer".to_owned()),
        (n, 0) => Some(format!("{n} dialogues are closed")),
        (n, waiting) => Some(format!(
            "{n} dialogues are closed; in {waiting} of them somebody waits for an answer"
        )),
    });
    all
}
