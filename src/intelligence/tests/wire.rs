//! What is sent, and how completions of all sorts of servers are read.

use serde_json::{Value, json};

use super::{
    super::{Ai, AiFailure, AiHttp, Completion, Ending, Evidence, Prompt, ToolCall, Turn, Usage},
    KEY, WORDS, complete, connect, prompt,
    server::{answers, serve},
    spec,
};
use crate::intelligence::cost::greatest_input;

fn usage(input: u64, cached: u64, output: u64, reasoning: u64) -> Usage {
    Usage {
        input_tokens: input,
        cached_input_tokens: cached,
        output_tokens: output,
        reasoning_tokens: reasoning,
        estimated: false,
    }
}

async fn read(body: &Value) -> Completion {
    let server = serve(&[answers(200, &body)]).await;
    let http = AiHttp::new().unwrap();
    complete(&connect(&server.endpoint, &http)).await.unwrap_or_else(|e| panic!("{body}: {e}"))
}

fn answered(choice: &Value) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "answers",
        "choices": [choice],
        "usage": { "prompt_tokens": 90, "completion_tokens": 20, "total_tokens": 110 },
    })
}

#[tokio::test]
async fn a_call_is_sent_as_the_wire_format_says() {
    let server = serve(&[answers(
        200,
        &answered(&json!({
            "message": { "role": "assistant", "content": "Hi" }, "finish_reason": "stop"
        })),
    )])
    .await;
    let http = AiHttp::new().unwrap();
    let completion = complete(&connect(&server.endpoint, &http)).await.unwrap();
    assert_eq!(completion.model, "answers");
    let [(head, body)] = &server.requests()[..] else { panic!("not one request") };
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{head}");
    let lines: Vec<_> = head.lines().map(str::to_ascii_lowercase).collect();
    assert!(lines.contains(&format!("authorization: bearer {KEY}")), "{head}");
    assert!(lines.contains(&"content-type: application/json".to_owned()), "{head}");
    assert_eq!(body["model"], "asked");
    assert_eq!(body["max_tokens"], 400);
    assert_eq!(body["tools"].as_array().unwrap().len(), 6);
    assert_eq!(body["messages"].as_array().unwrap().len(), 4);

    let keyless = Ai::connect(&spec(&server.endpoint), None, &http).unwrap();
    complete(&keyless).await.unwrap();
    let (head, _) = &server.requests()[1];
    assert!(!head.to_ascii_lowercase().contains("authorization"), "{head}");
}

#[tokio::test]
async fn a_temperature_is_sent_as_the_number_that_it_says() {
    let server = serve(&[answers(429, &"")]).await;
    let http = AiHttp::new().unwrap();
    for (n, text) in ["0.4", "0", "1", "0.1", "0.7", "1.15", "2"].iter().enumerate() {
        let mut spec = spec(&server.endpoint);
        spec.temperature = Some((*text).to_owned());
        complete(&Ai::connect(&spec, None, &http).unwrap()).await.unwrap_err();
        assert_eq!(server.requests()[n].1["temperature"].to_string(), *text);
    }
    let mut spec = spec(&server.endpoint);
    spec.temperature = None;
    complete(&Ai::connect(&spec, None, &http).unwrap()).await.unwrap_err();
    assert_eq!(server.requests().last().unwrap().1.get("temperature"), None);
}

#[tokio::test]
async fn only_a_whole_text_is_complete() {
    use Ending::{Complete, CutOff, Empty, Filtered, Other, Refused};
    let other = |word: &str| Other(word.to_owned());
    let text = |text: &str| json!({ "role": "assistant", "content": text });
    for (message, reason, ending, said) in [
        (text("Hi"), json!("stop"), Complete, Some("Hi")),
        (text(" Hi\n"), json!("STOP"), Complete, Some("Hi")),
        (text("Hi"), json!("eos"), Complete, Some("Hi")),
        (text("Hi"), json!("length"), CutOff, Some("Hi")),
        (text("Hi"), json!("content_filter"), Filtered, Some("Hi")),
        (text("Hi"), json!("error"), other("error"), Some("Hi")),
        (text("Hi"), json!("new\u{0}thing"), other("newthing"), Some("Hi")),
        (text("Hi"), Value::Null, other("no reason to finish"), Some("Hi")),
        (text("Hi"), json!(7), other("no reason to finish"), Some("Hi")),
        (text(""), json!("stop"), Empty, None),
        (text(" \n"), json!("stop"), Empty, None),
        (text("\u{0}"), json!("stop"), Empty, None),
        (text("a\u{0}b"), json!("stop"), Complete, Some("ab")),
        (json!({ "content": null }), json!("stop"), Empty, None),
        (json!({}), json!("stop"), Empty, None),
        (json!({ "content": 7 }), json!("stop"), Empty, None),
        (json!({ "content": null, "refusal": "I cannot." }), json!("stop"), Refused, None),
        (json!({ "content": "Hi", "refusal": "" }), json!("stop"), Complete, Some("Hi")),
        (
            json!({ "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] }),
            json!("stop"),
            Complete,
            Some("ab"),
        ),
        (
            json!({ "content": [{ "type": "refusal", "refusal": "I cannot." }] }),
            json!("stop"),
            Refused,
            None,
        ),
        (text("<think>sell him</think>\n\nHi"), json!("stop"), Complete, Some("Hi")),
        (text("sell him</think>Hi"), json!("stop"), Complete, Some("Hi")),
        (text("<think>sell him"), json!("stop"), Empty, None),
        (text("<think>sell him"), json!("length"), CutOff, None),
    ] {
        let choice = json!({ "index": 0, "message": message, "finish_reason": reason });
        let completion = read(&answered(&choice)).await;
        assert_eq!(completion.ending, ending, "{choice}");
        assert_eq!(completion.text.as_deref(), said, "{choice}");
        assert_eq!(completion.usage, usage(90, 0, 20, 0), "{choice}");
    }
}

#[tokio::test]
async fn of_several_choices_the_first_counts_and_all_are_paid() {
    let choice = |index: u64, text: &str| {
        json!({
            "index": index, "message": { "content": text }, "finish_reason": "stop"
        })
    };
    let mut body = answered(&choice(1, "second"));
    body["choices"].as_array_mut().unwrap().push(choice(0, "first"));
    let completion = read(&body).await;
    assert_eq!(completion.text.as_deref(), Some("first"));
    assert_eq!(completion.usage.output_tokens, 20);
}

#[tokio::test]
async fn no_choice_is_empty_where_the_server_says_what_it_used() {
    let mut body = answered(&Value::Null);
    body["choices"] = json!([]);
    let completion = read(&body).await;
    assert_eq!((completion.ending, completion.text), (Ending::Empty, None));
    assert_eq!(completion.usage, usage(90, 0, 20, 0));
}

#[tokio::test]
async fn tools_are_read_whole_and_odd_ones_are_named() {
    let call = |name: &str, arguments: Value| {
        json!({
            "id": "call_1", "type": "function", "function": { "name": name, "arguments": arguments }
        })
    };
    let evidence = || Evidence { quote: "ok".to_owned(), summary: String::new() };
    let unreadable = |name: &str, reason| ToolCall::Unreadable { name: name.to_owned(), reason };
    for (calls, expected) in [
        (
            json!([call("success", json!("{\"quote\":\"ok\"}"))]),
            vec![ToolCall::Success(evidence())],
        ),
        (json!([call("success", json!({ "quote": "ok" }))]), vec![ToolCall::Success(evidence())]),
        (
            json!([call("interest", json!("{\"quote\":\"ok\"}")), call("operator", json!(""))]),
            vec![ToolCall::Interest(evidence()), ToolCall::Operator { reason: String::new() }],
        ),
        (
            json!([{ "name": "close", "arguments": { "reason": "no" } }]),
            vec![ToolCall::Close { reason: "no".to_owned() }],
        ),
        (json!([call("fly", json!("{}"))]), vec![unreadable("fly", "the tool was not offered")]),
        (
            json!([call("success", json!("{\"quote\":"))]),
            vec![unreadable("success", "its arguments are no JSON")],
        ),
        (json!([7]), vec![unreadable("", "the tool was not offered")]),
        (
            json!(vec![call("operator", Value::Null); 40]),
            vec![ToolCall::Operator { reason: String::new() }; 16],
        ),
    ] {
        for content in [Value::Null, json!("Hi")] {
            let message = json!({ "content": content, "tool_calls": calls });
            let choice = json!({ "message": message, "finish_reason": "tool_calls" });
            let completion = read(&answered(&choice)).await;
            assert_eq!(completion.tool_calls, expected, "{calls}");
            assert_eq!(completion.ending, Ending::Complete, "{calls}");
            assert_eq!(completion.text.as_deref(), content.as_str());
        }
    }
    let nothing = json!({ "message": { "tool_calls": [] }, "finish_reason": "tool_calls" });
    assert_eq!(read(&answered(&nothing)).await.ending, Ending::Empty);
}

#[tokio::test]
async fn usage_is_read_in_the_ways_of_servers_and_never_guessed_low() {
    let input = greatest_input(&prompt(WORDS));
    let estimated = |usage| Usage { estimated: true, ..usage };
    for (told, expected) in [
        (
            json!({
                "prompt_tokens": 90, "completion_tokens": 20, "total_tokens": 110,
                "prompt_tokens_details": { "cached_tokens": 64 },
                "completion_tokens_details": { "reasoning_tokens": 12 },
            }),
            usage(90, 64, 20, 12),
        ),
        // The reasoning is in the total only.
        (
            json!({
                "prompt_tokens": 90, "completion_tokens": 20, "total_tokens": 150,
                "completion_tokens_details": { "reasoning_tokens": 40 },
            }),
            usage(90, 0, 60, 40),
        ),
        (
            json!({ "prompt_tokens": 90, "completion_tokens": 20, "prompt_cache_hit_tokens": 64 }),
            usage(90, 64, 20, 0),
        ),
        (
            json!({
                "prompt_tokens": 90, "completion_tokens": 20, "total_tokens": 3,
                "prompt_tokens_details": null, "completion_tokens_details": { "more": 1 },
            }),
            usage(90, 0, 20, 0),
        ),
        (
            json!({
                "prompt_tokens": 90, "completion_tokens": 20,
                "prompt_tokens_details": { "cached_tokens": 900 },
                "completion_tokens_details": { "reasoning_tokens": 900 },
            }),
            usage(90, 90, 20, 20),
        ),
        (json!({ "prompt_tokens": 90 }), estimated(usage(90, 0, 400, 0))),
        (json!({ "completion_tokens": 20 }), estimated(usage(input, 0, 20, 0))),
        (
            json!({ "prompt_tokens": -1, "completion_tokens": "20" }),
            estimated(usage(input, 0, 400, 0)),
        ),
        (json!({}), estimated(usage(input, 0, 400, 0))),
        (Value::Null, estimated(usage(input, 0, 400, 0))),
    ] {
        let mut body =
            answered(&json!({ "message": { "content": "Hi" }, "finish_reason": "stop" }));
        body["usage"] = told.clone();
        assert_eq!(read(&body).await.usage, expected, "{told}");
    }
}

#[tokio::test]
async fn a_server_that_takes_no_tools_or_another_name_of_the_limit_works_from_the_second_call() {
    let hi = answered(&json!({ "message": { "content": "Hi" }, "finish_reason": "stop" }));
    let no_tools = answers(400, &json!({ "error": { "message": "m does not support tools" } }));
    let other_name = answers(
        400,
        &json!({ "error": {
        "param": "max_tokens", "code": "unsupported_parameter", "message": "Unsupported parameter"
    } }),
    );
    let server = serve(&[no_tools, other_name.clone(), answers(200, &hi)]).await;
    let http = AiHttp::new().unwrap();
    let ai = connect(&server.endpoint, &http);
    for _ in 0..2 {
        let failure = complete(&ai).await.unwrap_err();
        assert!(matches!(failure, AiFailure::Unavailable { .. }), "{failure}");
    }
    assert_eq!(complete(&ai.clone()).await.unwrap().ending, Ending::Complete);
    let has: Vec<_> = server
        .requests()
        .iter()
        .map(|(_, body)| {
            ["tools", "max_tokens", "max_completion_tokens"].map(|name| body.get(name).is_some())
        })
        .collect();
    assert_eq!(has, [[true, true, false], [false, true, false], [false, false, true]]);

    let refuses_the_other_too = answers(
        400,
        &json!({ "error": {
        "param": "max_completion_tokens", "code": "unknown_parameter", "message": ""
    } }),
    );
    let server = serve(&[other_name, refuses_the_other_too]).await;
    let ai = connect(&server.endpoint, &http);
    complete(&ai).await.unwrap_err();
    for _ in 0..2 {
        let failure = complete(&ai).await.unwrap_err();
        assert!(matches!(failure, AiFailure::OurMistake { .. }), "{failure}");
    }
}

#[tokio::test]
async fn a_question_that_a_filter_takes_is_no_mistake_of_the_account() {
    let server = serve(&[answers(400, &json!({ "error": { "code": "content_filter" } }))]).await;
    let http = AiHttp::new().unwrap();
    let completion = complete(&connect(&server.endpoint, &http)).await.unwrap();
    assert_eq!(completion.ending, Ending::Filtered);
    assert!(completion.usage.estimated);
    assert_eq!(completion.usage.output_tokens, 0);
}

#[tokio::test]
async fn a_dialogue_that_no_model_reads_is_not_sent() {
    let server = serve(&[answers(500, &"")]).await;
    let http = AiHttp::new().unwrap();
    let endless = Prompt { turns: vec![Turn::Person("я".repeat(5_000_000))], ..prompt(WORDS) };
    let failure = connect(&server.endpoint, &http).complete(&endless).await.unwrap_err();
    assert!(matches!(failure, AiFailure::TooLong { .. }), "{failure}");
    assert_eq!(server.requests().len(), 0);
}
