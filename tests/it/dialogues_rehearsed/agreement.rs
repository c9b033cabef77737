//! What has to agree once every dialogue is where it stays.

use std::collections::{BTreeMap, BTreeSet};

use nuncio::{
    domain::{
        kind::{MessengerType, Way as WayOut},
        money::MicroUsd,
        resource::Prices,
        stop::asks_to_stop,
    },
    rehearsal::{
        AiEntry, CrmEntry, Direction, Entry, Person, Way, ai_journal, crm_journal, read_ai_journal,
        read_crm_journal,
    },
};
use serde_json::json;

use super::{ANSWERING, Stage, Who, by_person, is_said};

/// As in `tasks.d/team.yaml`.
const PRICES: Prices = Prices {
    input: MicroUsd::from_micros(250_000),
    cached_input: MicroUsd::from_micros(25_000),
    output: MicroUsd::from_micros(2_000_000),
};
const DISCLOSURE: &str = "I am a virtual assistant of Example Ltd.\n\n";
const HANDOVER: &str = "One moment, please. A colleague will go on with you.";

/// The word of the journal for a picture.
const PICTURE: &str = "[picture]";

pub(super) fn every_kind_of_end_is_there(stage: &Stage) {
    let of = |state: &str| {
        stage.texts(&format!(
            "SELECT channel, peer, coalesce(state_reason, '') AS text FROM dialogues
            WHERE state = '{state}' AND channel <> 'site'"
        ))
    };
    let is = |who: &Who, ending: &str| Person::of_address(&who.1).ending == ending;
    let (blocked, closed, handed) = (of("blocked"), of("closed"), of("with-operator"));
    assert!(blocked.len() == 1 && blocked.keys().all(|who| is(who, "0904")), "{blocked:?}");
    // Of the strangers that every channel has that only answers, one says STOP and one wants a human.
    let each = ANSWERING.len();
    let (stop, human) = (|who: &Who| is(who, "7"), |who: &Who| is(who, "8"));
    assert!(closed.keys().all(|who| stop(who) || is(who, "0909")), "{closed:?}");
    assert_eq!((closed.len(), closed.keys().filter(|who| stop(who)).count()), (1 + each, 1));
    assert!(handed.keys().all(|who| human(who) || is(who, "0903")), "{handed:?}");
    assert_eq!((handed.len(), handed.keys().filter(|who| human(who)).count()), (2 + each, 2));
    assert!(of("open").keys().all(|who| is(who, "0907")), "{:?}", of("open"));
    // On every messenger, and on the page.
    let succeeded = stage
        .value("SELECT string_agg(DISTINCT channel, ' ') FROM dialogues WHERE state = 'succeeded'");
    assert_eq!(
        succeeded,
        "avito-shop insta-shop site tg-anna tg-bot vk-anna waba-main whatsapp-boris"
    );

    // Whoever is handed over hears of it, and nothing of the AI after it.
    let last = stage.texts(
        "SELECT DISTINCT ON (d.id) d.channel, d.peer, m.text FROM dialogues d
        JOIN messages m ON m.dialogue_id = d.id AND m.author <> 'person'
        WHERE d.state IN ('blocked', 'with-operator') ORDER BY d.id, m.id DESC",
    );
    assert_eq!(last.len(), 3 + each);
    assert!(last.values().all(|texts| texts[..] == [HANDOVER]), "{last:?}");
    // It took a few answers.
    let answers = stage.number(
        "SELECT count(*) FROM messages m JOIN dialogues d ON d.id = m.dialogue_id
        WHERE d.state = 'blocked' AND m.author = 'ai'",
    );
    assert!((2..8).contains(&answers), "{answers}");
}

/// Of whatever can be sent through, so that who adds a kind of another type shows it too.
pub(super) fn every_type_has_a_whole_conversation(stage: &Stage) {
    let journal = stage.journal();
    for messenger in MessengerType::ALL {
        let running = format!(
            "SELECT count(*) > 0 FROM tasks WHERE fields->>'type' = '{messenger}' AND phase = 'in-progress'"
        );
        assert_eq!(stage.value(&running), "true", "no sample of type `{messenger}` runs");
        // The person asked, was answered, agreed, and left a number.
        let whole = stage.texts(&format!(
            "SELECT d.channel, d.peer, m.author AS text FROM dialogues d JOIN tasks t ON t.id = d.task_id
            JOIN messages m ON m.dialogue_id = d.id
            WHERE t.fields->>'type' = '{messenger}' AND d.state = 'succeeded' ORDER BY m.id"
        ));
        let talked = |authors: &Vec<String>| {
            let by = |author: &str| authors.iter().filter(|by| *by == author).count();
            by("person") >= 2 && by("ai") >= 2
        };
        assert!(whole.values().any(talked), "{messenger}: {whole:?}");
        // And the providers saw the same.
        let providers = messenger.kinds().filter(|facts| facts.way == WayOut::Provider);
        let providers: Vec<&str> = providers.map(|facts| facts.kind.as_str()).collect();
        if providers.is_empty() {
            continue;
        }
        let seen = |(channel, address): &Who, of: fn(&Entry) -> bool| {
            let with = |entry: &&Entry| {
                entry.channel == *channel
                    && entry.address == *address
                    && providers.contains(&entry.provider.as_str())
            };
            journal.iter().filter(with).filter(|entry| of(entry)).count()
        };
        let both = |who: &Who| seen(who, is_said) >= 2 && seen(who, Entry::is_delivery) >= 2;
        assert!(whole.keys().any(both), "{messenger}: no whole conversation in the journal");
    }
}

pub(super) fn providers_and_database_agree(stage: &Stage) {
    let journal = stage.journal();
    let seen = by_person(journal.iter().filter(|entry| entry.is_delivery()));
    let ours = stage.texts(
        "SELECT channel, peer, text FROM (
            SELECT a.channel, a.address AS peer, a.text, 0 AS id FROM attempts a WHERE a.outcome = 'sent'
            UNION ALL
            SELECT d.channel, d.peer, m.text, m.id FROM messages m JOIN dialogues d ON d.id = m.dialogue_id
            WHERE m.author NOT IN ('person', 'opening') AND m.state IN ('sent', 'delivered', 'read')
                AND d.channel <> 'site'
        ) ours ORDER BY id",
    );
    let ours: BTreeMap<Who, Vec<String>> = ours
        .into_iter()
        .map(|(who, texts)| (who, texts.iter().map(|text| as_sent(text)).collect()))
        .collect();
    assert_eq!(seen, ours);
    let openings = "SELECT count(*) FROM messages m JOIN dialogues d ON d.id = m.dialogue_id
        JOIN attempts a ON a.channel = d.channel AND a.address = d.peer AND a.outcome = 'sent'
        WHERE m.author = 'opening' AND m.text = a.text";
    let dialogues = "SELECT count(*) FROM dialogues d WHERE EXISTS (SELECT FROM attempts a
        WHERE a.channel = d.channel AND a.address = d.peer)";
    assert_eq!(stage.value(openings), stage.value(dialogues));

    let mut said = by_person(journal.iter().filter(|entry| is_said(entry)));
    let mut heard = stage.texts(
        "SELECT d.channel, d.peer, m.text FROM messages m JOIN dialogues d ON d.id = m.dialogue_id
        WHERE m.author = 'person' AND d.channel <> 'site' ORDER BY m.id",
    );
    let mut n_reversed = 0;
    for (who, texts) in said.iter_mut().chain(heard.iter_mut()) {
        if Person::of_address(&who.1).way == Way::ThriceInReverse {
            texts.sort();
            n_reversed += 1;
        }
        for text in texts.iter_mut().filter(|text| text.starts_with('[')) {
            PICTURE.clone_into(text);
        }
    }
    assert_eq!(n_reversed, 2 * (1 + ANSWERING.len()), "one person each, seen from both sides");
    assert_eq!(said, heard);
}

/// A template in the words of the provider's journal.
fn as_sent(text: &str) -> String {
    let inside = text.strip_prefix("[template ").and_then(|rest| rest.strip_suffix(']'));
    let template = inside.and_then(|inside| {
        let (name, rest) = inside.split_once(" in ")?;
        let (language, variables) = rest.split_once(": ")?;
        Some(format!("{name} ({language}): {variables}"))
    });
    template.unwrap_or_else(|| text.to_owned())
}

pub(super) fn nobody_is_written_to_after_stop(stage: &Stage) {
    let stopped = stage.rows("SELECT address, channel FROM opt_outs WHERE undone_at IS NULL");
    assert_eq!(stopped.len(), 1 + ANSWERING.len(), "{stopped:?}");
    let journal = stage.journal();
    for who in &stopped {
        let with: Vec<&Entry> = journal.iter().filter(|e| who["address"] == *e.address).collect();
        let stop = with.iter().rposition(|entry| is_said(entry)).unwrap();
        assert!(asks_to_stop(&with[stop].text).is_some(), "{with:?}");
        assert!(
            with[stop..].iter().all(|entry| entry.direction != Direction::ToPerson),
            "{with:?}"
        );
    }
    let calls = "SELECT count(*) FROM ai_calls c JOIN opt_outs o ON o.dialogue = c.dialogue_id
        WHERE c.at >= o.at";
    assert_eq!(stage.value(calls), "0", "no AI is asked about it");
}

pub(super) fn the_ai_billed_what_was_spent(stage: &Stage) {
    let calls: Vec<AiEntry> = read_ai_journal(&ai_journal(&stage.journal)).unwrap();
    let billed: i64 = calls.iter().map(|call| call.billed(&PRICES).micros()).sum();
    assert!(billed > 0);
    for sum in [
        "SELECT sum(cost) FROM ai_calls",
        "SELECT sum(spent) FROM spending",
        "SELECT sum(spent) FROM dialogues",
    ] {
        assert_eq!(stage.value(sum), billed.to_string(), "{sum}");
    }
    assert_eq!(stage.number("SELECT count(*) FROM ai_calls"), calls.len());
    let beyond = "SELECT count(*) FROM dialogues d JOIN tasks t ON t.id = d.task_id
        WHERE d.spent > spending_limit(t.fields) + d.allowance
            OR d.spent <> (SELECT coalesce(sum(cost), 0) FROM ai_calls a WHERE a.dialogue_id = d.id)";
    assert_eq!(stage.value(beyond), "0");
    // Nothing was said in the AI's name that the AI did not say.
    let mut answers: Vec<&str> = calls.iter().map(|call| call.answer.as_str()).collect();
    for row in stage.rows("SELECT text FROM messages WHERE author = 'ai'") {
        let text = row["text"].as_str().unwrap();
        let text = text.strip_prefix(DISCLOSURE).unwrap_or(text);
        let found = answers.iter().position(|answer| *answer == text);
        answers.swap_remove(found.unwrap_or_else(|| panic!("the AI did not say {text:?}")));
    }
    let handed = "SELECT count(*) FROM dialogues WHERE state = 'with-operator'";
    // The rest gave way to the handover; on a busy machine one may have given way to the person's next words as well.
    let handed = stage.number(handed);
    assert!(answers.len() >= handed, "{} answers gave way to {handed} handovers", answers.len());
}

pub(super) fn the_crm_has_every_success_once(stage: &Stage) {
    let all = read_crm_journal(&crm_journal(&stage.journal)).unwrap();
    assert!(all.iter().any(|entry| !entry.is_kept()), "the CRM failed once");
    let kept: Vec<&CrmEntry> = all.iter().filter(|entry| entry.is_kept()).collect();
    let address = |entry: &CrmEntry| {
        let line = entry.text.lines().find_map(|line| line.strip_prefix("Address: "));
        line.unwrap().to_owned()
    };
    let leads: Vec<&&CrmEntry> = kept.iter().filter(|entry| entry.action == "lead").collect();
    let told: BTreeSet<String> = leads.iter().map(|lead| address(lead)).collect();
    let succeeded = stage.rows("SELECT peer FROM dialogues WHERE state = 'succeeded'");
    let succeeded: BTreeSet<String> =
        succeeded.iter().map(|row| row["peer"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, succeeded);
    assert_eq!(leads.len(), succeeded.len(), "a lead is there once");
    for lead in &leads {
        // The success made the lead; the contact that came with it is a comment below, written later.
        assert!(lead.text.starts_with("Success: "), "{lead:?}");
        let below: Vec<&&CrmEntry> = kept.iter().filter(|entry| entry.parent == lead.id).collect();
        let [comment] = below[..] else { panic!("{below:?}") };
        assert!(comment.text.starts_with("Contact obtained: "), "{comment:?}");
        assert!(comment.id > lead.id && address(comment) == address(lead), "{comment:?}");
    }
    assert_eq!(stage.number("SELECT count(*) FROM reports WHERE state = 'sent'"), kept.len());
    let sent = stage.told("reports --sent");
    assert_eq!(sent.lines().filter(|line| !line.starts_with(' ')).count(), kept.len(), "{sent}");
    assert_eq!(stage.told("reports"), "");
}

pub(super) fn operators_are_told_the_same(stage: &Stage) {
    let counts = |wanted: &str| {
        let mut counts = json!({
            "open": 0, "with_operator": 0, "succeeded": 0, "closed": 0, "blocked": 0,
        });
        let query =
            format!("SELECT state, count(*) AS n FROM dialogues WHERE {wanted} GROUP BY state");
        for row in stage.rows(&query) {
            counts[row["state"].as_str().unwrap().replace('-', "_")] = row["n"].clone();
        }
        counts
    };
    let dialogues = stage.json("dialogues --limit 100");
    assert_eq!(dialogues["counts"], counts("true"));
    let listed = dialogues["dialogues"].as_array().unwrap();
    assert_eq!(listed.len(), stage.number("SELECT count(*) FROM dialogues"));
    let spending = stage.json("spending");
    let total: MicroUsd = spending["total"]["spent"].as_str().unwrap().parse().unwrap();
    assert_eq!(total.micros().to_string(), stage.value("SELECT sum(spent) FROM dialogues"));
    let status = stage.json("status");
    let tasks = status["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), stage.n_tasks());
    for task in tasks {
        let name = task["name"].as_str().unwrap();
        let wanted = counts(&format!("task = '{name}'"));
        for (state, n) in wanted.as_object().unwrap() {
            assert_eq!(task["dialogues"][state], *n, "{name} {state}: {task:#}");
        }
        let sent =
            format!("SELECT count(*) FROM attempts WHERE task = '{name}' AND outcome = 'sent'");
        assert_eq!(task["sent"].to_string(), stage.value(&sent), "{name}");
    }
}
