//! The refusals of the table of faults, and how any refusal is written.

use std::time::Duration;

use axum::{
    Json,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse as _, Response},
};
use serde_json::json;

use super::{
    faults::AiFault,
    request::{Asked, Objection, too_long},
};

/// Short enough to see the second call in a rehearsal of a minute.
const TOO_MANY_WAIT: Duration = Duration::from_secs(2);

/// The calls that a fault turns away before anything is made.
pub(super) fn objection_of(fault: AiFault, asked: &Asked) -> Option<Objection> {
    let typed = |status, kind, code, message| Objection {
        kind,
        ..Objection::new(status, Some(code), message)
    };
    let of_parameter = |name: &str, code, message| Objection::of_parameter(name, code, message);
    Some(match fault {
        AiFault::TooMany => typed(
            StatusCode::TOO_MANY_REQUESTS,
            "requests",
            "rate_limit_exceeded",
            "Rate limit reached. Please try again in 2s.",
        ),
        AiFault::Quota => typed(
            StatusCode::TOO_MANY_REQUESTS,
            "insufficient_quota",
            "insufficient_quota",
            "You exceeded your current quota, please check your plan and billing details.",
        ),
        AiFault::ServerError => typed(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "server_error",
            "The server had an error while processing your request.",
        ),
        AiFault::Unavailable => typed(
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "overloaded",
            "The engine is currently overloaded, please try again later.",
        ),
        AiFault::QuestionFiltered => of_parameter(
            "messages",
            "content_filter",
            "The response was filtered due to the prompt triggering the content policy.",
        ),
        AiFault::TooLong => too_long(),
        AiFault::UnknownModel => unknown_model(&asked.model),
        AiFault::NoTools if !asked.tools.is_empty() => {
            of_parameter("tools", "unsupported_parameter", "This model does not support tools.")
        }
        AiFault::NewerModel if asked.older_limit => of_parameter(
            "max_tokens",
            "unsupported_parameter",
            "Unsupported parameter: 'max_tokens' is not supported with this model. \
             Use 'max_completion_tokens' instead.",
        ),
        AiFault::NewerModel if asked.temperature.is_some_and(|t| (t - 1.0).abs() > 1e-9) => {
            of_parameter(
                "temperature",
                "unsupported_value",
                "Unsupported value: only the default temperature is supported.",
            )
        }
        _ => return None,
    })
}

pub(super) fn unknown_model(model: &str) -> Objection {
    let message = format!("The model `{model}` does not exist or you do not have access to it.");
    Objection::new(StatusCode::NOT_FOUND, Some("model_not_found"), &message)
}

pub(super) fn refusal(objection: &Objection) -> Response {
    let Objection { status, kind, code, parameter, message } = objection;
    let error = json!({ "message": message, "type": kind, "param": parameter, "code": code });
    let body = Json(json!({ "error": error }));
    if *code == Some("rate_limit_exceeded") {
        let wait = [(RETRY_AFTER, TOO_MANY_WAIT.as_secs().to_string())];
        return (*status, wait, body).into_response();
    }
    (*status, body).into_response()
}
