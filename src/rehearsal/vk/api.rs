//! How every method of the fake VK API is called, and how it refuses.

use std::collections::BTreeMap;

use axum::{
    Form, Json,
    extract::rejection::FormRejection,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::super::{account, faults::Fault, world::World};

pub(super) type Parameters = BTreeMap<String, String>;

/// VK does not read other encodings: to it such a call has no parameters.
pub(super) type Called = Result<Form<Parameters>, FormRejection>;

pub(super) const MISSING: (i64, &str) =
    (100, "One of the parameters specified was missing or invalid");

/// A call whose account is in order.
pub(super) struct Asked {
    pub(super) channel: String,
    pub(super) parameters: Parameters,
}

/// VK's answer to a call that it does not like.
pub(super) struct Refused {
    parameters: Parameters,
    code: i64,
    message: &'static str,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        error(&self.parameters, self.code, self.message)
    }
}

impl Asked {
    pub(super) fn read(world: &World, headers: &HeaderMap, form: Called) -> Result<Self, Refused> {
        let parameters = parameters(form);
        let channel = channel_of(headers, &parameters).unwrap_or_default().to_owned();
        let objection = account_objection(world, &channel, &parameters);
        let asked = Self { channel, parameters };
        match objection {
            Some(objection) => Err(asked.refuse(objection)),
            None => Ok(asked),
        }
    }

    /// As [`Self::read`], of a community, which is named by its id. The first that a token names is its own.
    pub(super) fn of_community(
        world: &World,
        headers: &HeaderMap,
        form: Called,
    ) -> Result<Self, Refused> {
        let asked = Self::read(world, headers, form)?;
        let group_id = asked.get("group_id");
        let is_id = !group_id.starts_with('0')
            && !group_id.is_empty()
            && group_id.bytes().all(|byte| byte.is_ascii_digit());
        match world.account(&asked.channel) {
            _ if !is_id => Err(asked.refuse(MISSING)),
            Some(own) if own != group_id => {
                Err(asked.refuse((15, "Access denied: group_id doesn't match the token")))
            }
            Some(_) => Ok(asked),
            None => {
                world.calls_as(&asked.channel, group_id);
                Ok(asked)
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    pub(super) fn refuse(self, (code, message): (i64, &'static str)) -> Refused {
        Refused { parameters: self.parameters, code, message }
    }
}

pub(super) fn answer(response: &Value) -> Response {
    Json(json!({ "response": response })).into_response()
}

pub(super) async fn unknown_method() -> Response {
    error(&Parameters::new(), 3, "Unknown method passed.")
}

pub(super) fn parameters(form: Called) -> Parameters {
    form.map(|Form(parameters)| parameters).unwrap_or_default()
}

pub(super) fn account_objection(
    world: &World,
    channel: &str,
    parameters: &Parameters,
) -> Option<(i64, &'static str)> {
    if channel.is_empty() {
        return Some((5, "User authorization failed: invalid access_token (4)."));
    }
    match world.account_fault(channel) {
        Some(Fault::AccountBanned) => return Some((37, "User was banned")),
        Some(_) => return Some((5, "User authorization failed: access_token has expired.")),
        None => {}
    }
    let versioned = parameters.get("v").is_some_and(|version| !version.is_empty());
    (!versioned).then_some((8, "Invalid request: v (version) is required"))
}

pub(super) fn channel_of<'a>(
    headers: &'a HeaderMap,
    parameters: &'a Parameters,
) -> Option<&'a str> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer "));
    let token = token.or_else(|| parameters.get("access_token").map(String::as_str))?;
    account::channel_of(token, "token")
}

/// An error repeats the parameters, texts and all, as VK's do.
pub(super) fn error(parameters: &Parameters, code: i64, message: &str) -> Response {
    let request_params: Vec<Value> = parameters
        .iter()
        .filter(|(key, _)| *key != "access_token")
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect();
    let error = json!({
        "error_code": code, "error_msg": message, "request_params": request_params,
    });
    Json(json!({ "error": error })).into_response()
}

/// The journal cannot be written, so nothing is delivered.
pub(super) fn broken() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
