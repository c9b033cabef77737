//! The client against the AI of the rehearsal: dialogues, faults, and the two sides' accounts.

use std::time::Duration;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    super::{
        Ai, AiFailure, AiHttp, Completion, Ending, Prompt, ToolCall, Turn, cost, greatest_cost,
    },
    prompt, spec,
};
use crate::{
    clock,
    domain::{dialogue::ContactKind, money::MicroUsd},
    rehearsal::{AI_FAULTS, AiFault, Options, Rehearsal, start},
};

async fn rehearsal() -> Rehearsal {
    let options = Options {
        faults: true,
        hang_for: Duration::ZERO,
        answer_delay: Duration::ZERO,
        people: None,
        journal: None,
        clock: clock::now,
    };
    start(options, CancellationToken::new(), &TaskTracker::new()).await.unwrap()
}

fn connect(rehearsal: &Rehearsal) -> Ai {
    let key = Rehearsal::secret("sales", "apiKey");
    let http = AiHttp::new().unwrap();
    Ai::connect(&spec(&rehearsal.ai_endpoint()), Some(&key), &http).unwrap()
}

#[tokio::test]
async fn a_salesman_answers_and_calls_the_tools_that_the_last_words_ask_for() {
    let rehearsal = rehearsal().await;
    let ai = connect(&rehearsal);
    for (words, expected) in [
        ("Здравствуйте", vec![]),
        ("Давайте созвонимся", vec!["success"]),
        ("Call me at +7 912 345-67-89", vec!["contact", "success"]),
        ("anna@example.com", vec!["contact"]),
        ("Звучит интересно", vec!["interest"]),
        ("No thanks", vec!["close"]),
        ("Можно живого человека?", vec!["operator"]),
        ("Напомните через 3 дня", vec!["remind"]),
    ] {
        let completion = ai.complete(&prompt(words)).await.unwrap();
        assert_eq!(completion.ending, Ending::Complete, "{words}");
        assert!(completion.text.is_some(), "{words}");
        let called: Vec<_> = completion
            .tool_calls
            .iter()
            .map(|call| match call {
                ToolCall::Success(evidence) => {
                    assert_eq!(evidence.quote, words);
                    "success"
                }
                ToolCall::ContactObtained { kind, value, .. } => {
                    assert!(matches!(kind, ContactKind::Phone | ContactKind::Email), "{words}");
                    assert!(words.contains(value.as_str()), "{value}");
                    "contact"
                }
                ToolCall::Interest(_) => "interest",
                ToolCall::Close { reason } => {
                    assert_eq!(reason, words);
                    "close"
                }
                ToolCall::Operator { .. } => "operator",
                ToolCall::Remind { after, text } => {
                    assert_eq!(*after, Duration::from_hours(3 * 24));
                    assert!(!text.is_empty());
                    "remind"
                }
                ToolCall::Unreadable { .. } => "unreadable",
            })
            .collect();
        let mut expected = expected;
        expected.sort_unstable();
        let mut sorted = called.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected, "{words}");
        let toolless = Prompt { tools: false, ..prompt(words) };
        assert_eq!(ai.complete(&toolless).await.unwrap().tool_calls, [], "{words}");
    }
    // Nobody has written yet: the AI opens.
    let opening = Prompt { turns: Vec::new(), ..prompt("") };
    let opening = ai.complete(&opening).await.unwrap();
    assert!(opening.text.unwrap().starts_with("Здравствуйте"), "it greets");
}

/// How a call ended, in a word.
fn word(outcome: &Result<Completion, AiFailure>) -> &'static str {
    match outcome {
        Ok(completion) => match completion.ending {
            Ending::Complete if completion.usage.estimated => "estimated",
            Ending::Complete => "complete",
            Ending::CutOff => "cut off",
            Ending::Refused => "refused",
            Ending::Filtered => "filtered",
            Ending::Empty => "empty",
            Ending::Other(_) => "other",
        },
        Err(AiFailure::Waits { after: Some(_), .. }) => "waits",
        Err(AiFailure::Waits { .. }) => "waits for unknown",
        Err(AiFailure::Quota { .. }) => "quota",
        Err(AiFailure::CredentialRefused { .. }) => "credential",
        Err(AiFailure::OurMistake { .. }) => "mistake",
        Err(AiFailure::TooLong { .. }) => "too long",
        Err(AiFailure::Unavailable { .. }) => "unavailable",
        Err(AiFailure::Unanswered { .. }) => "unanswered",
    }
}

#[tokio::test]
async fn every_fault_of_the_table_is_met_and_classified() {
    for row in AI_FAULTS {
        let rehearsal = rehearsal().await;
        let ai = connect(&rehearsal);
        let (first, second) = match row.fault {
            AiFault::TooMany => ("waits", "complete"),
            AiFault::Quota => ("quota", "quota"),
            AiFault::Unavailable | AiFault::NoTools => ("unavailable", "complete"),
            // Five seconds are not waited for here.
            AiFault::Slow => continue,
            AiFault::ServerError | AiFault::AnswerWithheld | AiFault::Garbage => {
                ("unanswered", "complete")
            }
            AiFault::Empty => ("empty", "empty"),
            AiFault::CutOff => ("cut off", "cut off"),
            AiFault::Refusal => ("refused", "refused"),
            AiFault::Filtered | AiFault::QuestionFiltered => ("filtered", "filtered"),
            AiFault::TooLong => ("too long", "too long"),
            AiFault::NoUsage => ("estimated", "estimated"),
            AiFault::UnknownModel => ("mistake", "mistake"),
            AiFault::SilentTools => ("complete", "complete"),
            // The name of the limit is learnt; the temperature stays wrong.
            AiFault::NewerModel => ("unavailable", "mistake"),
        };
        for expected in [first, second] {
            let outcome = ai.complete(&prompt(&format!("I agree {}", row.word))).await;
            assert_eq!(word(&outcome), expected, "{}: {outcome:?}", row.word);
            let noted = rehearsal.recent_ai().pop().unwrap();
            let may_be_billed = match &outcome {
                Ok(_) => true,
                Err(failure) => failure.may_have_cost(),
            };
            assert!(may_be_billed || !noted.is_billed(), "{}: {outcome:?}", row.word);
            if row.fault == AiFault::SilentTools {
                let completion = outcome.unwrap();
                assert_eq!((completion.text, completion.tool_calls.len()), (None, 1));
            }
        }
    }
}

#[tokio::test]
async fn what_is_billed_is_what_we_count_and_within_what_was_reserved() {
    let rehearsal = rehearsal().await;
    let ai = connect(&rehearsal);
    let prices = spec("").prices;
    let mut turns = Vec::new();
    let mut counted = 0;
    for words in
        ["Здравствуйте", "a", "Сколько стоит? 🙂", "+79123456789", "ai-no-usage", "I agree"]
    {
        turns.push(Turn::Person(words.to_owned()));
        let prompt = Prompt { turns: turns.clone(), ..prompt("") };
        let completion = ai.complete(&prompt).await.unwrap();
        let cost = cost(&completion.usage, &prices);
        let billed = rehearsal.recent_ai().pop().unwrap().billed(&prices);
        assert!(cost <= greatest_cost(&prompt, &prices), "{words}");
        assert!(billed <= cost, "{words}");
        assert_eq!(billed == cost, !completion.usage.estimated, "{words}");
        assert!(billed > MicroUsd::from_micros(0), "{words}");
        counted += usize::from(completion.usage.cached_input_tokens > 0);
        turns.extend(completion.text.map(Turn::Ours));
    }
    assert!(counted > 0, "no beginning was ever cached");
}
