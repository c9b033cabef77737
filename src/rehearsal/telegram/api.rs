//! The door of the fake Bot API: `/bot{token}/{method}`, by GET or POST.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse as _, Response},
    routing::any,
};
use serde_json::{Value, json};

use super::{
    super::{account, faults::Fault, world::World},
    parameters::Parameters,
    receiving, sending,
};
use crate::domain::kind::ChannelKind;

/// The bot itself, and the owner of the account that it speaks for.
pub(super) const BOT_ID: i64 = 4_000_000_001;
pub(super) const OWNER_ID: i64 = 4_000_000_002;
/// When the owner let it speak.
const CONNECTED_AT: i64 = 1_700_000_000;

/// A call of an account that is known.
pub(super) struct Asked {
    pub(super) world: Arc<World>,
    pub(super) kind: ChannelKind,
    pub(super) channel: String,
    pub(super) parameters: Parameters,
}

pub(in super::super) fn router(kind: ChannelKind) -> Router<Arc<World>> {
    Router::new().route("/{bot}/{method}", any(serve)).layer(Extension(kind))
}

async fn serve(
    State(world): State<Arc<World>>,
    Extension(kind): Extension<ChannelKind>,
    Path((bot, method)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(token) = bot.strip_prefix("bot") else { return error(404, "Not Found") };
    let Some(channel) = account::channel_of(token, "token") else {
        return error(401, "Unauthorized: invalid token specified");
    };
    let Some(parameters) = Parameters::read(query.as_deref(), &headers, &body) else {
        return error(400, "Bad Request: can't parse request parameters");
    };
    let asked = Asked { world, kind, channel: channel.to_owned(), parameters };
    let method = method.to_lowercase();
    match asked.world.account_fault(channel) {
        Some(Fault::AccountBanned) => {
            return asked.refuse(400, "Bad Request: FROZEN_METHOD_INVALID");
        }
        Some(_) => return asked.refuse(401, "Unauthorized"),
        None => {}
    }
    match method.as_str() {
        "getme" => ok(me(&asked)),
        "getbusinessconnection" => business_connection(&asked),
        "sendmessage" => sending::send_message(&asked).await,
        "sendchataction" => sending::send_chat_action(&asked),
        "readbusinessmessage" => sending::read_business_message(&asked),
        "getupdates" => receiving::get_updates(&asked).await,
        "setwebhook" => receiving::set_webhook(&asked),
        "deletewebhook" => receiving::delete_webhook(&asked),
        "getwebhookinfo" => receiving::get_webhook_info(&asked),
        _ => error(404, "Not Found: method not found"),
    }
}

pub(super) fn ok(result: Value) -> Response {
    let mut answer = json!({ "ok": true });
    answer["result"] = result;
    Json(answer).into_response()
}

pub(super) fn error(code: u16, description: &str) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error = json!({ "ok": false, "error_code": code, "description": description });
    (status, Json(error)).into_response()
}

pub(super) fn too_many(seconds: u64) -> Response {
    let error = json!({
        "ok": false,
        "error_code": 429,
        "description": format!("Too Many Requests: retry after {seconds}"),
        "parameters": { "retry_after": seconds },
    });
    let wait = [(RETRY_AFTER, seconds.to_string())];
    (StatusCode::TOO_MANY_REQUESTS, wait, Json(error)).into_response()
}

pub(super) fn bot_user() -> Value {
    json!({
        "id": BOT_ID, "is_bot": true, "first_name": "Rehearsal", "username": "rehearsal_bot",
    })
}

pub(super) fn owner() -> Value {
    json!({ "id": OWNER_ID, "is_bot": false, "first_name": "Owner" })
}

fn me(asked: &Asked) -> Value {
    let mut me = bot_user();
    me["can_join_groups"] = json!(true);
    me["can_read_all_group_messages"] = json!(false);
    me["supports_inline_queries"] = json!(false);
    me["can_connect_to_business"] = json!(asked.kind == ChannelKind::TelegramBusiness);
    me["has_main_web_app"] = json!(false);
    me
}

fn business_connection(asked: &Asked) -> Response {
    if !asked.names_connection() {
        return error(400, "Bad Request: business connection not found");
    }
    ok(json!({
        "id": asked.parameters.text("business_connection_id"),
        "user": owner(),
        "user_chat_id": OWNER_ID,
        "date": CONNECTED_AT,
        "can_reply": true,
        "rights": { "can_reply": true, "can_read_messages": true },
        "is_enabled": true,
    }))
}

impl Asked {
    /// Whether the call names the business connection that there is.
    pub(super) fn names_connection(&self) -> bool {
        let named = self.parameters.text("business_connection_id");
        self.kind == ChannelKind::TelegramBusiness
            && account::channel_of(&named, "connectionId") == Some(&self.channel)
    }
}
