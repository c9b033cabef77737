//! Tokens of the fake Avito, its errors, and who calls.

use std::sync::Arc;

use axum::{
    Form, Json,
    extract::{Path, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::super::{account, faults::Fault, meta::is_digits, world::World};
use crate::domain::kind::ChannelKind;

/// The number of an account that nobody has named yet.
const UNNAMED: &str = "94235311";

/// In a token, before its number.
const NUMBER: char = '-';

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Client {
    grant_type: String,
    client_id: String,
    client_secret: String,
}

/// A chat in a path.
#[derive(Deserialize)]
pub(super) struct Place {
    pub(super) user: String,
    #[serde(default)]
    pub(super) chat: String,
}

/// Why a call is refused, in the words of Avito's own documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    Validation(&'static str),
    Unauthorized,
    PaymentRequired,
    Forbidden,
    NotFound,
}

pub(super) async fn token(
    State(world): State<Arc<World>>,
    form: Result<Form<Client>, FormRejection>,
) -> Response {
    let Client { grant_type, client_id, client_secret } =
        form.map(|Form(it)| it).unwrap_or_default();
    let refused =
        |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    if grant_type != "client_credentials" {
        return refused("unsupported_grant_type");
    }
    let of_id = account::channel_of(&client_id, "clientId");
    let Some(channel) =
        of_id.filter(|id| account::channel_of(&client_secret, "clientSecret") == Some(*id))
    else {
        return refused("invalid_client");
    };
    if world.account_fault(channel) == Some(Fault::CredentialExpired) {
        return refused("invalid_client");
    }
    let number = world.with_seller(channel, super::Seller::issue);
    let access = account::secret(channel, "access");
    let access = format!("{}{NUMBER}{number}", access.reveal());
    Json(json!({ "access_token": access, "expires_in": 86_400, "token_type": "Bearer" }))
        .into_response()
}

pub(super) async fn itself(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    match caller(&world, &headers) {
        Ok(channel) => {
            let id = account_id(&world, &channel).parse::<i64>().unwrap_or_default();
            let profile = format!("https://avito.ru/user/{id}/profile");
            Json(json!({ "id": id, "name": channel, "email": "shop@example.com", "profile_url": profile }))
                .into_response()
        }
        Err(objection) => objection.answer(),
    }
}

pub(super) fn account_id(world: &World, channel: &str) -> String {
    world.account(channel).unwrap_or_else(|| UNNAMED.to_owned())
}

/// The channel whose token the call carries.
pub(super) fn caller(world: &World, headers: &HeaderMap) -> Result<String, Objection> {
    let presented = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = presented.and_then(|value| value.strip_prefix("Bearer "));
    let (access, number) =
        token.and_then(|token| token.rsplit_once(NUMBER)).ok_or(Objection::Unauthorized)?;
    let channel = account::channel_of(access, "access").ok_or(Objection::Unauthorized)?;
    let number = number.parse().map_err(|_| Objection::Unauthorized)?;
    let ends = world.has_faults();
    if !world.with_seller(channel, |seller| seller.takes(number, ends)) {
        return Err(Objection::Unauthorized);
    }
    Ok(channel.to_owned())
}

/// As [`caller`], who may use the messenger of this account. The first account that a channel names is its own.
pub(super) fn messenger_of(
    world: &World,
    headers: &HeaderMap,
    user: &str,
) -> Result<String, Objection> {
    let channel = user_of_messenger(world, headers)?;
    if !is_digits(user) {
        return Err(Objection::Validation("user_id"));
    }
    match world.account(&channel) {
        Some(own) if own != user => Err(Objection::Forbidden),
        Some(_) => Ok(channel),
        None => {
            world.calls_as(&channel, user);
            Ok(channel)
        }
    }
}

/// As [`caller`], whose tariff has the messenger.
pub(super) fn user_of_messenger(world: &World, headers: &HeaderMap) -> Result<String, Objection> {
    let channel = caller(world, headers)?;
    match world.account_fault(&channel) {
        Some(Fault::AccountBanned) => Err(Objection::PaymentRequired),
        _ => Ok(channel),
    }
}

/// As [`messenger_of`], in a chat that somebody opened with the account. Gives the chat's address as well.
pub(super) fn chat_of(
    world: &World,
    headers: &HeaderMap,
    Path(Place { user, chat }): &Path<Place>,
) -> Result<(String, String), Objection> {
    let channel = messenger_of(world, headers, user)?;
    let address = format!("{}:{chat}", ChannelKind::Avito);
    if !world.has_written(&channel, &address) {
        return Err(Objection::Forbidden);
    }
    Ok((channel, address))
}

impl Objection {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Validation(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::PaymentRequired => StatusCode::PAYMENT_REQUIRED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
        }
    }

    pub(super) fn answer(self) -> Response {
        let mut answer = error(self.status());
        if let Self::Validation(field) = self {
            let named = json!({ "code": 400, "message": "Validation error", "fields": { field: "invalid" } });
            answer = (self.status(), Json(json!({ "error": named }))).into_response();
        }
        answer
    }
}

/// An error as Avito writes it.
pub(super) fn error(status: StatusCode) -> Response {
    let message = status.canonical_reason().unwrap_or_default();
    let named = json!({ "code": status.as_u16(), "message": message });
    (status, Json(json!({ "error": named }))).into_response()
}
