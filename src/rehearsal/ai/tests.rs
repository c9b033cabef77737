//! The rehearsal's AI refuses what the real one refuses, and its journal has what was billed.

use serde_json::{Value, json};

use super::{AI_FAULTS, ai_journal, read_ai_journal};
use crate::{
    domain::{money::MicroUsd, resource::Prices},
    rehearsal::{
        Rehearsal,
        tests::{request, started},
    },
};

fn headers(ai: &str) -> String {
    let key = Rehearsal::secret(ai, "apiKey");
    format!("Authorization: Bearer {}\r\nContent-Type: application/json", key.reveal())
}

/// The status and the body of a call.
async fn ask(rehearsal: &Rehearsal, headers: &str, body: &str) -> (u16, Value) {
    let answer = request(&rehearsal.ai_endpoint(), "POST /chat/completions", headers, body).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn asking(words: &str) -> Value {
    json!({
        "model": "gpt-x",
        "messages": [
            { "role": "system", "content": "You are Anna." },
            { "role": "user", "content": words },
        ],
    })
}

fn with(name: &str, value: Value) -> String {
    let mut body = asking("Hello");
    body[name] = value;
    body.to_string()
}

fn tool(parameters: &Value) -> Value {
    json!({ "type": "function", "function": {
        "name": "operator", "strict": true, "parameters": parameters,
    } })
}

#[tokio::test]
async fn a_call_that_is_not_in_order_is_refused_with_its_parameter() {
    let rehearsal = started(None, true).await;
    let known = headers("sales");
    let keyless = "Content-Type: application/json".to_owned();
    let wrong = "Authorization: Bearer sk-1\r\nContent-Type: application/json".to_owned();
    let of_channel = Rehearsal::secret("sales", "token");
    let of_channel =
        format!("Authorization: Bearer {}\r\nContent-Type: application/json", of_channel.reveal());
    let form = known.replace("application/json", "text/plain");
    let open = json!({ "type": "object", "properties": { "reason": { "type": "string" } } });
    let called = json!([{ "role": "assistant", "content": null, "tool_calls": [
        { "id": "a", "type": "function", "function": { "name": "operator", "arguments": "{}" } }
    ] }]);
    let hello = asking("Hello").to_string();
    for (headers, body, status, code, parameter) in [
        (&keyless, hello.clone(), 401, json!(null), json!(null)),
        (&wrong, hello.clone(), 401, json!("invalid_api_key"), json!(null)),
        (&of_channel, hello.clone(), 401, json!("invalid_api_key"), json!(null)),
        (&headers("expired-ai"), hello.clone(), 401, json!("invalid_api_key"), json!(null)),
        (&headers("banned-ai"), hello.clone(), 401, json!("account_deactivated"), json!(null)),
        (&form, hello, 415, json!(null), json!(null)),
        (&known, "nonsense".to_owned(), 400, json!(null), json!(null)),
        (&known, "[]".to_owned(), 400, json!(null), json!(null)),
        (&known, "{}".to_owned(), 400, json!(null), json!(null)),
        (&known, with("model", json!(7)), 400, json!("invalid_value"), json!("model")),
        (&known, with("model", json!("ai-unknown")), 404, json!("model_not_found"), json!(null)),
        (&known, with("nonsense", json!(1)), 400, json!("unknown_parameter"), json!("nonsense")),
        (&known, with("messages", json!([])), 400, json!("invalid_value"), json!("messages")),
        (
            &known,
            with("messages", json!([{ "role": "robot", "content": "a" }])),
            400,
            json!("invalid_value"),
            json!("messages[0].role"),
        ),
        (
            &known,
            with("messages", json!([{ "role": "user", "content": null }])),
            400,
            json!("invalid_value"),
            json!("messages[0].content"),
        ),
        (
            &known,
            with("messages", json!([{ "role": "tool", "content": "a", "tool_call_id": "a" }])),
            400,
            json!("invalid_value"),
            json!("messages[0].tool_call_id"),
        ),
        (&known, with("messages", called), 400, json!("invalid_value"), json!("messages")),
        (
            &known,
            with("temperature", json!(2.1)),
            400,
            json!("invalid_value"),
            json!("temperature"),
        ),
        (
            &known,
            with("temperature", json!("1")),
            400,
            json!("invalid_value"),
            json!("temperature"),
        ),
        (&known, with("max_tokens", json!(0)), 400, json!("invalid_value"), json!("max_tokens")),
        (&known, with("n", json!(0)), 400, json!("invalid_value"), json!("n")),
        (&known, with("user", json!(7)), 400, json!("invalid_value"), json!("user")),
        (&known, with("stream", json!(true)), 400, json!("unsupported_value"), json!("stream")),
        (&known, with("tools", json!([])), 400, json!("invalid_value"), json!("tools")),
        (
            &known,
            with("tools", json!([tool(&open)])),
            400,
            json!("invalid_value"),
            json!("tools[0].function.parameters"),
        ),
        (
            &known,
            with("tool_choice", json!("auto")),
            400,
            json!("invalid_value"),
            json!("tool_choice"),
        ),
        (
            &known,
            asking(&"a".repeat(600_000)).to_string(),
            400,
            json!("context_length_exceeded"),
            json!("messages"),
        ),
    ] {
        let (answered, error) = ask(&rehearsal, headers, &body).await;
        assert_eq!(answered, status, "{body:.300}: {error}");
        assert_eq!(error["error"]["code"], code, "{body:.300}: {error}");
        assert_eq!(error["error"]["param"], parameter, "{body:.300}: {error}");
        assert!(error["error"]["message"].is_string(), "{body:.300}: {error}");
        let noted = rehearsal.recent_ai().pop().unwrap();
        assert_eq!((noted.status, noted.is_billed()), (status, false), "{body:.300}");
    }
    let both = json!({ "max_tokens": 9, "max_completion_tokens": 9 });
    let mut body = asking("Hello");
    body.as_object_mut().unwrap().extend(both.as_object().unwrap().clone());
    let (status, error) = ask(&rehearsal, &known, &body.to_string()).await;
    assert_eq!((status, &error["error"]["param"]), (400, &json!("max_tokens")), "{error}");
}

#[tokio::test]
async fn an_address_that_is_not_there_is_refused_in_the_same_form() {
    let rehearsal = started(None, true).await;
    let headers = headers("sales");
    for (line, status) in [
        ("GET /models", "200"),
        ("GET /models/vendor/model", "200"),
        ("GET /models/ai-unknown", "404"),
        ("GET /chat/completions", "405"),
        ("POST /completions", "404"),
    ] {
        let answer = request(&rehearsal.ai_endpoint(), line, &headers, "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
        assert_eq!(answer.contains("\"error\""), status != "200", "{line}: {answer}");
    }
}

#[tokio::test]
async fn a_beginning_that_was_asked_before_is_cached() {
    let rehearsal = started(None, true).await;
    let mut body = asking("Hello");
    body["messages"][0]["content"] = "You are Anna. ".repeat(100).into();
    let mut cached = Vec::new();
    for words in ["Hello", "Hello", "And now?"] {
        body["messages"][1]["content"] = words.into();
        let (_, completion) = ask(&rehearsal, &headers("sales"), &body.to_string()).await;
        cached.push(completion["usage"]["prompt_tokens_details"]["cached_tokens"].clone());
    }
    // 100 × 14 bytes are 350 tokens, and 256 of them are whole blocks.
    assert_eq!(cached, [json!(0), json!(256), json!(256)]);
    let (_, other) = ask(&rehearsal, &headers("other"), &body.to_string()).await;
    assert_eq!(other["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
}

#[tokio::test]
async fn several_choices_a_short_limit_and_a_demanded_tool_are_as_the_real_one_has_them() {
    let rehearsal = started(None, true).await;
    let known = headers("sales");
    let (_, one) = ask(&rehearsal, &known, &asking("Hello").to_string()).await;
    let (_, two) = ask(&rehearsal, &known, &with("n", json!(2))).await;
    assert_eq!(two["choices"].as_array().unwrap().len(), 2);
    let output = |body: &Value| body["usage"]["completion_tokens"].as_u64().unwrap();
    assert_eq!(output(&two), 2 * output(&one));
    let (_, short) = ask(&rehearsal, &known, &with("max_completion_tokens", json!(16))).await;
    assert_eq!(short["choices"][0]["finish_reason"], "length");
    assert_eq!(output(&short), 16);

    let strict = json!({
        "type": "object", "required": ["reason", "sure", "level"], "additionalProperties": false,
        "properties": {
            "reason": { "type": "string" }, "sure": { "type": "boolean" },
            "level": { "enum": ["low", "high"] },
        },
    });
    let mut body = asking("Hello");
    body["tools"] = json!([tool(&strict)]);
    body["tool_choice"] = json!("required");
    let (_, demanded) = ask(&rehearsal, &known, &body.to_string()).await;
    let call = &demanded["choices"][0]["message"]["tool_calls"][0]["function"];
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments, json!({ "reason": "Hello", "sure": true, "level": "low" }));
    assert!(jsonschema::draft202012::is_valid(&strict, &arguments));
}

#[tokio::test]
async fn the_journal_outlives_the_rehearsal_with_what_was_billed_and_met() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let known = headers("sales");
    let body = asking("Hello ai-500").to_string();
    let mut answered = Vec::new();
    for _ in 0..2 {
        // The second rehearsal remembers that the fault was met.
        let rehearsal = started(Some(path.clone()), true).await;
        answered.push(ask(&rehearsal, &known, &body).await);
    }
    let [(500, _), (200, completion)] = &answered[..] else { panic!("{answered:?}") };
    let entries = read_ai_journal(&ai_journal(&path)).unwrap();
    let [refused, billed] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((refused.fault.as_deref(), refused.is_billed()), (Some("ai-500"), false));
    assert_eq!(billed.prompt_tokens, completion["usage"]["prompt_tokens"].as_u64().unwrap());
    assert_eq!(billed.answer, completion["choices"][0]["message"]["content"].as_str().unwrap());
    let price = MicroUsd::from_micros;
    let prices =
        Prices { input: price(1_000_000), cached_input: price(0), output: price(2_500_000) };
    // In micro-dollars: one a token that goes in, and 2.5, rounded up at the end, one that comes out.
    let expected = billed.prompt_tokens + (billed.completion_tokens * 5).div_ceil(2);
    assert_eq!(billed.billed(&prices).micros(), i64::try_from(expected).unwrap());
    assert_eq!(refused.billed(&prices).micros(), 0);
}

#[test]
fn the_readme_has_the_table() {
    let readme = include_str!("../../../README.md");
    let rows = AI_FAULTS.iter().map(|row| format!("| `{}` | {} |\n", row.word, row.about));
    let table: String = rows.collect();
    assert!(readme.contains(&table), "the README should have:\n{table}");
}

#[test]
fn a_word_of_the_table_hides_no_other() {
    for (n, row) in AI_FAULTS.iter().enumerate() {
        let first = AI_FAULTS.iter().position(|other| row.word.contains(other.word));
        assert_eq!(first, Some(n), "{}", row.word);
    }
}
