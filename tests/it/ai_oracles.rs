//! Others' halves of the chat-completions wire format: OpenAI's own Python client asks the rehearsal's
//! AI, and our client asks `openai-mock-api`.
//!
//! They are installed as the foreign validators are, and skipped with a word where they cannot be had.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nuncio::{
    domain::{
        channel::Secret,
        money::MicroUsd,
        resource::{AiSpec, Prices},
    },
    intelligence::{Ai, AiFailure, AiHttp, Completion, Ending, Prompt, ToolCall, Turn},
};
use serde_json::{Value, json};

use crate::support::{Providers, Wanted, installed, wait_until};

const NODE_PACKAGES: [&str; 1] = ["openai-mock-api@0.4.0"];
const PYTHON_PACKAGES: [&str; 1] = ["openai==3.54.0"];

/// What the official client makes of our answers, told to check their types.
const ASK: &str = r#"
import json, sys
import openai
from openai.types.chat import ChatCompletion

job = json.load(sys.stdin)

def client(key=job["key"], retries=0):
    return openai.OpenAI(api_key=key, base_url=job["endpoint"], max_retries=retries, timeout=30)

def ask(words, client=client(), **more):
    messages = [{"role": "system", "content": "You are Anna."}, {"role": "user", "content": words}]
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-x", messages=messages, max_completion_tokens=400, **more)
    # The client itself passes over what is of a wrong type.
    return ChatCompletion.model_validate(json.loads(raw.text), strict=True)

def refused(words, client=client(), **more):
    try:
        ask(words, client, **more)
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code, error.param]

operator = {"type": "function", "function": {"name": "operator", "strict": True, "parameters": {
    "type": "object", "properties": {"reason": {"type": "string"}},
    "required": ["reason"], "additionalProperties": False}}}

plain = ask("Hello")
called = ask("A human, please", tools=[operator])
call = called.choices[0].message.tool_calls[0]
told = client().chat.completions.create(model="gpt-x", messages=[
    {"role": "user", "content": "A human, please"},
    called.choices[0].message.model_dump(exclude_none=True),
    {"role": "tool", "tool_call_id": call.id, "content": "done"},
], tools=[operator])

json.dump({
    "plain": [plain.choices[0].message.content, plain.choices[0].finish_reason],
    "adds_up": plain.usage.total_tokens == plain.usage.prompt_tokens + plain.usage.completion_tokens,
    "reasoning": plain.usage.completion_tokens_details.reasoning_tokens,
    "called": [called.choices[0].finish_reason, call.function.name, json.loads(call.function.arguments)],
    "told": [told.choices[0].finish_reason, told.choices[0].message.tool_calls],
    "refusal": ask("ai-refusal").choices[0].message.refusal is not None,
    "filtered": ask("ai-filtered").choices[0].finish_reason,
    "cut_off": ask("ai-cut-off").choices[0].finish_reason,
    "no_usage": ask("ai-no-usage").usage,
    "after_a_retry": ask("ai-500 once", client(retries=1)).choices[0].finish_reason,
    "models": [model.id for model in client().models.list()],
    "refused": [
        refused("Hello", client(key="sk-wrong")),
        refused("Hello", temperature=3),
        refused("ai-unknown"),
        refused("ai-429"),
        refused("ai-quota"),
        refused("ai-500"),
        refused("ai-too-long"),
    ],
}, sys.stdout)
"#;

fn oracles() -> Option<PathBuf> {
    installed(&Wanted {
        folder: "ai-oracles",
        node_packages: &NODE_PACKAGES,
        python_packages: &PYTHON_PACKAGES,
        scripts: &[("ask.py", ASK)],
        ..Wanted::default()
    })
}

#[test]
fn the_official_client_understands_the_ai_of_the_rehearsal() {
    let Some(folder) = oracles() else { return };
    let providers = Providers::start(Duration::ZERO, true);
    let job = json!({
        "endpoint": providers.ai_endpoint(),
        "key": Providers::secret("sales", "apiKey"),
    });
    let job_file = tempfile::NamedTempFile::new().unwrap();
    fs::write(job_file.path(), job.to_string()).unwrap();
    let output = Command::new(folder.join("venv/bin/python"))
        .arg(folder.join("ask.py"))
        .stdin(job_file.reopen().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();

    let journal = providers.ai_journal();
    let hello = journal.iter().find(|entry| entry.said == "Hello").unwrap();
    assert_eq!(seen["plain"], json!([hello.answer, "stop"]));
    assert_eq!(seen["adds_up"], true);
    assert_eq!(seen["reasoning"], hello.reasoning_tokens);
    let reason = json!({ "reason": "A human, please" });
    assert_eq!(seen["called"], json!(["tool_calls", "operator", reason]));
    assert_eq!(seen["told"], json!(["stop", null]));
    assert_eq!(seen["refusal"], true);
    assert_eq!(seen["filtered"], "content_filter");
    assert_eq!(seen["cut_off"], "length");
    assert_eq!(seen["no_usage"], Value::Null);
    assert_eq!(seen["after_a_retry"], "stop");
    assert_eq!(seen["models"], json!(["rehearsal"]));
    assert_eq!(
        seen["refused"],
        json!([
            ["AuthenticationError", 401, "invalid_api_key", null],
            ["BadRequestError", 400, "invalid_value", "temperature"],
            ["NotFoundError", 404, "model_not_found", null],
            ["RateLimitError", 429, "rate_limit_exceeded", null],
            ["RateLimitError", 429, "insufficient_quota", null],
            ["InternalServerError", 500, "server_error", null],
            ["BadRequestError", 400, "context_length_exceeded", "messages"],
        ])
    );
}

/// `openai-mock-api` on a port of its own; it ends with the test.
struct Mock {
    child: Child,
    endpoint: String,
}

impl Drop for Mock {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const MOCK_KEY: &str = "mock-key";

impl Mock {
    fn start(folder: &Path, configuration: &Path) -> Self {
        let user = |words: &str| json!({ "role": "user", "content": words, "matcher": "contains" });
        let any = json!({ "role": "system", "matcher": "any" });
        let called = json!({ "role": "assistant", "tool_calls": [{
            "id": "call_1", "type": "function",
            "function": { "name": "operator", "arguments": "{\"reason\": \"asked\"}" },
        }] });
        let said = json!({ "role": "assistant", "content": "Hello from afar" });
        let flows = json!({
            "apiKey": MOCK_KEY,
            "responses": [
                { "id": "said", "messages": [any, user("hello"), said] },
                { "id": "called", "messages": [any, user("human"), called] },
            ],
        });
        // JSON is YAML.
        fs::write(configuration, flows.to_string()).unwrap();
        // Another process may take the port in between; then the test fails and says so.
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let child = Command::new("node")
            .arg(folder.join("node_modules/openai-mock-api/dist/cli.js"))
            .arg("--config")
            .arg(configuration)
            .args(["--port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mock = Self { child, endpoint: format!("http://127.0.0.1:{port}/v1") };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait_until("openai-mock-api listens", Duration::from_secs(30), || {
            let connected = TcpStream::connect(address);
            (connected.is_ok(), connected.err())
        });
        mock
    }

    async fn ask(&self, key: &str, words: &str) -> Result<Completion, AiFailure> {
        let price = MicroUsd::from_micros(1_000_000);
        let spec = AiSpec {
            endpoint: self.endpoint.clone(),
            model: "gpt-4".to_owned(),
            api_key: None,
            instructions: String::new(),
            temperature: Some("0.4".to_owned()),
            max_output_tokens: 400,
            max_tokens_field: None,
            fallback: None,
            handover: None,
            prices: Prices { input: price, cached_input: price, output: price },
            disclosure: None,
            reminders: Vec::new(),
        };
        let http = AiHttp::new().unwrap();
        let ai = Ai::connect(&spec, Some(&Secret::new(key.to_owned())), &http).unwrap();
        ai.complete(&Prompt {
            system: "You are Anna.".to_owned(),
            turns: vec![Turn::Person(words.to_owned())],
            tools: true,
            max_output_tokens: 400,
        })
        .await
    }
}

#[tokio::test]
async fn our_client_understands_a_foreign_server() {
    let Some(folder) = oracles() else { return };
    let configuration = tempfile::NamedTempFile::new().unwrap();
    let mock = Mock::start(&folder, configuration.path());

    let said = mock.ask(MOCK_KEY, "hello there").await.unwrap();
    assert_eq!((said.text.as_deref(), &said.ending), (Some("Hello from afar"), &Ending::Complete));
    assert!(!said.usage.estimated && said.usage.input_tokens > 0 && said.usage.output_tokens > 0);

    let called = mock.ask(MOCK_KEY, "a human, please").await.unwrap();
    let operator = ToolCall::Operator { reason: "asked".to_owned() };
    assert_eq!((called.tool_calls, called.ending), (vec![operator], Ending::Complete));

    let wrong_key = mock.ask("wrong", "hello").await.unwrap_err();
    assert!(matches!(wrong_key, AiFailure::CredentialRefused { .. }), "{wrong_key:?}");
    let unmatched = mock.ask(MOCK_KEY, "no flow has this").await.unwrap_err();
    assert!(matches!(unmatched, AiFailure::OurMistake { .. }), "{unmatched:?}");
}
