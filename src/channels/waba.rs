//! The `waba` driver: messages through the WhatsApp Cloud API. What it receives is in `waba_webhook`.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{
    RequestBuilder, Url,
    header::{AUTHORIZATION, HeaderValue},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{Rule, by_status, class, classes, rule_for, unreadable, wait},
    connecting::{Unconnectable, below, credential_header, endpoint},
    driver::{Examined, OpeningCall},
    http::{Answer, Http, exchange},
    meta::Application,
    reading::phone,
    sayable::sayable,
};
use crate::domain::{
    address::Address,
    attempt::{Message, Outcome, OutcomeClass},
    channel::{ChannelSpec, Secret},
    dialogue::ReplyCall,
};

const PROVIDER: &str = "WhatsApp";

/// Of a text. For all variables of a template together: what they are put into has the same limit.
pub(super) const TEXT_CHARACTERS_MAX: usize = 4_096;

/// The throughput of a number is counted by the second.
const THROUGHPUT: Duration = Duration::from_secs(30);
/// One message to the same person in about six seconds.
const PAIR_RATE: Duration = Duration::from_mins(1);
/// Calls of an application are counted by the hour.
const CALL_RATE: Duration = Duration::from_mins(5);

#[derive(Debug)]
pub struct Waba {
    http: Http,
    url: Url,
    authorization: HeaderValue,
    pub(super) phone_number_id: String,
    pub(super) application: Application,
}

#[derive(Deserialize)]
struct Accepted {
    id: String,
}

/// An error's message may repeat the number and is not read.
#[derive(Deserialize)]
struct Answered {
    /// Who was written to. Whatever it is like, the message was taken.
    #[serde(default)]
    contacts: Value,
    #[serde(default)]
    messages: Vec<Accepted>,
    error: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    code: i64,
    #[serde(default)]
    is_transient: bool,
}

/// An answer that names its error is a refusal: nothing was sent, even where it may pass later.
#[rustfmt::skip]
const ERRORS: &[Rule] = {
    use OutcomeClass::{
        ChannelBlocked, CredentialRefused, MessagePermanent, NotSent, OurMistake,
        RecipientPermanent, WindowClosed,
    };
    &[
        class(0, CredentialRefused, "the token is refused"),
        classes(1, 2, NotSent, "the service is unavailable for the moment"),
        class(3, CredentialRefused, "the token has no right to call this"),
        wait(4, CALL_RATE, "too many calls of the application"),
        class(10, CredentialRefused, "the token has no right to send"),
        class(100, OurMistake, "a parameter is wrong"),
        class(190, CredentialRefused, "the token has expired"),
        classes(200, 299, CredentialRefused, "the token has no right to send"),
        class(368, ChannelBlocked, "the account is blocked for breaking the rules"),
        wait(80007, CALL_RATE, "the limit of the account is reached"),
        wait(130_429, THROUGHPUT, "the throughput of the number is reached"),
        class(130_472, RecipientPermanent, "the recipient is part of an experiment"),
        class(130_497, ChannelBlocked, "the account may not write to this country"),
        class(131_000, NotSent, "something went wrong"),
        class(131_005, CredentialRefused, "access denied"),
        classes(131_008, 131_009, OurMistake, "a parameter is missing or wrong"),
        class(131_016, NotSent, "the service is unavailable for the moment"),
        class(131_021, RecipientPermanent, "the recipient is the sender"),
        class(131_026, RecipientPermanent, "undeliverable: not on WhatsApp, or not reachable"),
        class(131_030, RecipientPermanent, "the recipient is not in the list for tests"),
        class(131_031, ChannelBlocked, "the account is locked"),
        class(131_037, ChannelBlocked, "the display name is not approved"),
        class(131_042, ChannelBlocked, "the payment method is refused"),
        class(131_045, OurMistake, "the number is not registered correctly"),
        class(131_047, WindowClosed, "more than 24 hours since the person wrote"),
        class(131_048, ChannelBlocked, "the account is limited for spam"),
        class(131_049, RecipientPermanent, "not delivered to keep the network healthy"),
        class(131_050, RecipientPermanent, "the recipient stopped marketing messages"),
        class(131_051, OurMistake, "the type of message is not supported"),
        wait(131_056, PAIR_RATE, "too many messages to this recipient"),
        class(131_057, ChannelBlocked, "the account is in maintenance"),
        class(131_062, RecipientPermanent, "the recipient cannot get this message"),
        class(131_063, MessagePermanent, "the template may not be used"),
        class(131_064, ChannelBlocked, "the account is limited for its templates"),
        class(132_000, MessagePermanent, "the template has another number of variables"),
        class(132_001, MessagePermanent, "no such template in this language"),
        class(132_005, MessagePermanent, "the text of the template becomes too long"),
        class(132_007, MessagePermanent, "the template breaks the rules"),
        class(132_008, MessagePermanent, "a variable of the template is missing"),
        class(132_012, MessagePermanent, "a variable of the template has the wrong form"),
        class(132_015, MessagePermanent, "the template is paused"),
        class(132_016, MessagePermanent, "the template is disabled"),
        class(133_010, OurMistake, "the number is not registered"),
        class(135_000, NotSent, "something went wrong"),
        class(137_000, RecipientPermanent, "the recipient's identity has changed"),
    ]
};

impl Waba {
    pub(super) fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        let setting = |name| spec.setting(name).ok_or(Unconnectable::MissingSetting(name));
        let phone_number_id = setting("phoneNumberId")?;
        let path = [setting("apiVersion")?, phone_number_id, "messages"];
        Ok(Self {
            http: http.clone(),
            url: below(&endpoint(spec)?, &path),
            authorization: credential_header(secrets, "token", "Bearer ")?,
            phone_number_id: phone_number_id.to_owned(),
            application: Application::connect(secrets)?,
        })
    }

    /// The number is an object of the Graph API, which tells its id to whoever may use it.
    pub(super) async fn examine(&self) -> Examined {
        let mut url = self.url.clone();
        url.path_segments_mut().expect("the URL of `connect` has a path").pop();
        url.query_pairs_mut().append_pair("fields", "id");
        let request = self.http.get(url).header(AUTHORIZATION, self.authorization.clone());
        Examined::of(match exchange(request, self.http.deadline()).await {
            Err(failure) => failure.outcome(PROVIDER),
            Ok(answer) => match serde_json::from_slice(&answer.body) {
                Ok(Accepted { id: _ }) if answer.is_success() => Outcome::sent(None),
                _ => read(&answer),
            },
        })
    }

    pub(super) async fn open(&self, call: &OpeningCall<'_>) -> Outcome {
        match template_body(call) {
            Ok(body) => self.send(&body, call.address).await,
            Err(refused) => refused,
        }
    }

    pub(super) async fn reply(&self, call: &ReplyCall<'_>) -> Outcome {
        // The Cloud API knows no key of ours and drops no repeat.
        let ReplyCall { peer, text, key: _, reference } = *call;
        let text = match sayable(text, TEXT_CHARACTERS_MAX) {
            Ok(text) => text,
            Err(refused) => return refused,
        };
        let body = json!({
            "type": "text",
            "text": { "body": text, "preview_url": false },
            "biz_opaque_callback_data": reference,
        });
        self.send(&addressed(body, peer), peer).await
    }

    /// Marks the person's message as read and shows that somebody types. Best effort.
    pub(super) async fn show_typing(&self, last_received: Option<&str>) {
        let Some(message_id) = last_received else { return };
        let body = json!({
            "messaging_product": "whatsapp",
            "status": "read",
            "message_id": message_id,
            "typing_indicator": { "type": "text" },
        });
        drop(exchange(self.post(&body), self.http.sign_deadline()).await);
    }

    async fn send(&self, body: &Value, to: &Address) -> Outcome {
        match exchange(self.post(body), self.http.deadline()).await {
            Ok(answer) => {
                let mut outcome = read(&answer);
                outcome.known_as.retain(|known_as| known_as != to);
                outcome
            }
            Err(failure) => failure.outcome(PROVIDER),
        }
    }

    fn post(&self, body: &Value) -> RequestBuilder {
        self.http
            .post(self.url.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .json(body)
    }
}

/// Puts in whom the message is for. A person who hides their phone is known by another id, and has
/// another field.
fn addressed(mut body: Value, peer: &Address) -> Value {
    let (field, value) = match peer.as_str().strip_prefix('+') {
        Some(digits) => ("to", digits),
        None => ("recipient", peer.as_str()),
    };
    body["messaging_product"] = json!("whatsapp");
    body["recipient_type"] = json!("individual");
    body[field] = json!(value);
    body
}

/// What an error of a status means, in our words.
pub(super) fn reason_of(code: i64) -> String {
    refusal(code, false, None).reason
}

fn template_body(call: &OpeningCall<'_>) -> Result<Value, Outcome> {
    let refused = |reason| Err(Outcome::of(OutcomeClass::MessagePermanent, reason));
    let Message::Template { name, language, variables } = call.message else {
        return refused("a stranger can be written to with an approved template only");
    };
    if variables.iter().any(|value| value.trim().is_empty()) {
        return refused("a variable of the template is empty");
    }
    if variables.iter().map(|value| value.chars().count()).sum::<usize>() > TEXT_CHARACTERS_MAX {
        return refused("the variables are longer than 4096 characters");
    }
    let mut template = json!({ "name": name, "language": { "code": language } });
    if !variables.is_empty() {
        let parameters: Vec<_> =
            variables.iter().map(|value| json!({ "type": "text", "text": value })).collect();
        template["components"] = json!([{ "type": "body", "parameters": parameters }]);
    }
    let body = json!({
        "type": "template",
        "template": template,
        // Comes back with the message's status, and so settles an attempt in doubt.
        "biz_opaque_callback_data": call.attempt.to_string(),
    });
    Ok(addressed(body, call.address))
}

fn read(answer: &Answer) -> Outcome {
    let Answer { status, retry_after, body } = answer;
    match serde_json::from_slice(body) {
        Ok(Answered { error: Some(Refused { code, is_transient }), .. }) => {
            refusal(code, is_transient || *status >= 500, *retry_after)
        }
        Ok(Answered { contacts, messages, error: None }) if answer.is_success() => {
            match messages.into_iter().next() {
                Some(Accepted { id }) => {
                    Outcome { known_as: names(&contacts), ..Outcome::sent(Some(id)) }
                }
                None => unreadable(PROVIDER),
            }
        }
        Err(_) if answer.is_success() => unreadable(PROVIDER),
        _ => by_status(*status, PROVIDER, *retry_after),
    }
}

/// By what WhatsApp knows who was written to: another number than the one that was dialled, or an id. Of
/// several people nobody says who is who.
fn names(contacts: &Value) -> Vec<Address> {
    let Some([contact]) = contacts.as_array().map(Vec::as_slice) else { return Vec::new() };
    let word = |name| contact.get(name).and_then(Value::as_str);
    let number = word("wa_id").and_then(phone);
    number.into_iter().chain(word("user_id").and_then(Address::of_business_scope)).collect()
}

fn refusal(code: i64, passes: bool, named: Option<Duration>) -> Outcome {
    if let Some(rule) = rule_for(ERRORS, code) {
        return rule.outcome(code, PROVIDER, named);
    }
    let (class, words) = if passes {
        (OutcomeClass::NotSent, "it may pass")
    } else {
        (OutcomeClass::OurMistake, "this version does not know the error")
    };
    Outcome::of(class, format!("{PROVIDER} error {code}: {words}"))
}

#[cfg(test)]
mod tests {
    use super::{super::answer::assert_no_code_stands_twice, *};

    #[test]
    fn every_error_has_its_class() {
        use OutcomeClass::{
            ChannelBlocked, CredentialRefused, MessagePermanent, NotSent, OurMistake,
            RecipientPermanent, RetryAfter, WindowClosed,
        };
        assert_no_code_stands_twice(ERRORS);
        for (codes, class) in [
            (&[0, 3, 10, 190, 200, 299, 131_005][..], CredentialRefused),
            (&[4, 80007, 130_429, 131_056], RetryAfter),
            (&[368, 130_497, 131_031, 131_037, 131_042, 131_048, 131_057, 131_064], ChannelBlocked),
            (&[130_472, 131_021, 131_026, 131_030, 131_049, 131_050], RecipientPermanent),
            (&[131_062, 137_000], RecipientPermanent),
            (&[131_047], WindowClosed),
            (&[131_063, 132_000, 132_001, 132_005, 132_007], MessagePermanent),
            (&[132_008, 132_012, 132_015, 132_016], MessagePermanent),
            (&[100, 131_008, 131_009, 131_045, 131_051, 133_010, 77_777], OurMistake),
            (&[1, 2, 131_000, 131_016, 135_000], NotSent),
        ] {
            for code in codes {
                assert_eq!(refusal(*code, false, None).class, class, "{code}");
            }
        }
        assert_eq!(refusal(77_777, true, None).class, NotSent);
    }

    #[test]
    fn the_providers_own_wait_comes_first() {
        let named = Some(Duration::from_secs(7));
        assert_eq!(refusal(130_429, false, named).after, named);
        assert_eq!(refusal(130_429, false, None).after, Some(THROUGHPUT));
    }

    #[test]
    fn only_an_error_that_is_named_proves_that_nothing_was_sent() {
        let of = |status, body: &str| {
            read(&Answer { status, retry_after: None, body: body.as_bytes().to_vec() }).class
        };
        assert_eq!(of(500, r#"{"error":{"code":131000}}"#), OutcomeClass::NotSent);
        assert_eq!(of(503, r#"{"error":{"code":5}}"#), OutcomeClass::NotSent);
        assert_eq!(of(500, "<html>"), OutcomeClass::InDoubt);
        assert_eq!(of(500, "{}"), OutcomeClass::InDoubt);
        assert_eq!(of(200, "{}"), OutcomeClass::InDoubt);
        assert_eq!(of(200, "<html>"), OutcomeClass::InDoubt);
        assert_eq!(of(200, r#"{"messages":[{"id":"wamid.1"}]}"#), OutcomeClass::Sent);
    }

    #[test]
    fn an_answer_names_who_was_written_to_and_is_one_whatever_it_names() {
        for (contacts, known_as) in [
            (
                json!([{ "input": "525555123451", "wa_id": "5215555123451" }]),
                vec!["+5215555123451"],
            ),
            (json!([{ "input": "MX.1", "user_id": "MX.1" }]), vec!["MX.1"]),
            (json!([{ "wa_id": "79123450001" }, { "wa_id": "79123450002" }]), vec![]),
            (json!([{ "wa_id": 5, "user_id": "nonsense" }]), vec![]),
            (json!([null]), vec![]),
            (json!("79123450001"), vec![]),
            (json!(null), vec![]),
        ] {
            let body =
                json!({ "contacts": contacts, "messages": [{ "id": "wamid.1" }] }).to_string();
            let outcome = read(&Answer { status: 200, retry_after: None, body: body.into_bytes() });
            let told: Vec<_> = outcome.known_as.iter().map(Address::as_str).collect();
            assert_eq!((outcome.class, told), (OutcomeClass::Sent, known_as), "{contacts}");
        }
    }
}
