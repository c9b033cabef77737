//! What is said: text, and the signs before it.

use serde::Deserialize;
use serde_json::json;

use super::{
    super::{answer::unreadable, http::exchange, sayable::sayable_in_bytes},
    account::Instagram,
    errors::{PROVIDER, read},
};
use crate::domain::{
    address::Address,
    attempt::{Outcome, OutcomeClass},
    dialogue::ReplyCall,
    kind::MessengerType,
};

/// In UTF-8: of Cyrillic about half as many characters.
pub(in super::super) const TEXT_BYTES_MAX: usize = 1_000;

#[derive(Deserialize)]
struct Accepted {
    message_id: Option<String>,
}

impl Instagram {
    /// Never with the tag by which a human agent may answer later than after 24 hours: what answers here is none.
    pub(in super::super) async fn reply(&self, call: &ReplyCall<'_>) -> Outcome {
        // Instagram takes no key, and attaches nothing to a message: its echo is known by its id or words.
        let ReplyCall { peer, text, key: _, reference: _ } = *call;
        let text = match sayable_in_bytes(text, TEXT_BYTES_MAX) {
            Ok(text) => text,
            Err(refused) => return refused,
        };
        let Some(recipient) = peer.id_of(MessengerType::Instagram) else {
            let reason = format!("{PROVIDER} knows people by its own ids only");
            return Outcome::of(OutcomeClass::RecipientPermanent, reason);
        };
        let body = json!({ "recipient": { "id": recipient }, "message": { "text": text } });
        let request = self.post(self.url(&["messages"])).json(&body);
        match exchange(request, self.http.deadline()).await {
            Err(failure) => failure.outcome(PROVIDER),
            Ok(answer) => match read::<Accepted>(&answer) {
                Ok(Accepted { message_id: Some(id) }) => Outcome::sent(Some(id)),
                Ok(Accepted { message_id: None }) => unreadable(PROVIDER),
                Err(outcome) => outcome,
            },
        }
    }

    /// Best effort: neither an answer nor an error is of use to anybody.
    pub(in super::super) async fn show_typing(&self, peer: &Address) {
        let Some(recipient) = peer.id_of(MessengerType::Instagram) else { return };
        let until = self.http.sign_deadline();
        for action in ["mark_seen", "typing_on"] {
            let body = json!({ "recipient": { "id": recipient }, "sender_action": action });
            drop(exchange(self.post(self.url(&["messages"])).json(&body), until).await);
        }
    }
}
