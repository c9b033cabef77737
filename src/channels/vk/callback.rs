//! Webhooks of VK's Callback API: one event each, with a secret in the body.

use serde_json::Value;

use super::{
    super::webhook::{Brought, Webhook, WebhookRefused, same},
    community::VkPublic,
    community_events::{is_of, read_event},
};

/// VK brings an event again until it reads exactly this.
const TAKEN: &str = "ok";

impl VkPublic {
    pub(in crate::channels) fn read_webhook(
        &self,
        webhook: &Webhook<'_>,
    ) -> Result<Brought, WebhookRefused> {
        // Nothing says when it was sent; repeats are told by their messages' ids.
        let Webhook { body, headers: _, token: _, at: _ } = *webhook;
        let secret = self.secret.as_ref().ok_or(WebhookRefused::NotConfigured)?;
        let mut event: Value =
            serde_json::from_slice(body).map_err(|_| WebhookRefused::Unreadable)?;
        let presented = event.as_object_mut().and_then(|event| event.remove("secret"));
        let presented = presented.as_ref().and_then(Value::as_str);
        if !same(secret, presented.ok_or(WebhookRefused::SignatureMissing)?) {
            return Err(WebhookRefused::SignatureWrong);
        }
        let kept = Some(event.to_string().into_bytes());
        if event.get("type").and_then(Value::as_str) == Some("confirmation") {
            // Whoever knows the secret of one community cannot have another's address confirmed.
            if !is_of(&event, &self.group_id) {
                return Err(WebhookRefused::Unreadable);
            }
            let code = self.confirmation.as_ref().ok_or(WebhookRefused::NotConfigured)?;
            let answer = Some(code.reveal().to_owned());
            return Ok(Brought { answer, kept, ..Brought::default() });
        }
        let received = read_event(&event, &self.group_id).into_iter().collect();
        Ok(Brought { received, answer: Some(TAKEN.to_owned()), kept, ..Brought::default() })
    }
}
