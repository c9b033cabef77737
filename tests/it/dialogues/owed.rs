//! Whoever was not answered in the end is owed an answer, and waits where operators look.

use std::time::Duration;

use nuncio::{
    domain::{
        attempt::{Outcome, OutcomeClass},
        dialogue::Author,
        id::{DialogueId, ExecutorId},
    },
    store::{
        Answer, Committed, DialogueAct, DialogueActed, FinishedReply, Owed, ReplyPermit, Store,
    },
};

use super::{anna_says, executor, messenger::Messenger};

const PEER: &str = "+79161000001";
/// Since the person's message, and the AI's turn where it goes on.
const OWED: &str = "SELECT concat_ws(' ', state,
        CASE WHEN waiting_since = (SELECT min(at) FROM messages WHERE author = 'person') THEN 'waits'
            WHEN waiting_since IS NOT NULL THEN 'waits since another time' END,
        CASE WHEN due_at IS NOT NULL THEN 'due' END) FROM dialogues";

/// The AI has answered the person, and the answer waits to leave.
async fn answered(store: &Store, id: ExecutorId) {
    let turns = store.lease_turns(id, 1).await.unwrap();
    let texts = vec![(Author::Ai, "Good day!".to_owned())];
    let answer = Answer { texts, ..Answer::default() };
    assert_eq!(store.commit_answer(&turns[0], &answer).await.unwrap(), Committed::Taken);
}

async fn permitted(store: &Store, id: ExecutorId) -> ReplyPermit {
    store.permit_replies(id, 1).await.unwrap().remove(0)
}

async fn ends(store: &Store, permit: ReplyPermit, class: OutcomeClass) {
    let ReplyPermit { message, channel, fence, .. } = permit;
    let outcome = Outcome { after: Some(Duration::ZERO), ..Outcome::of(class, "so it ended") };
    store.record_replies(&[FinishedReply { message, channel, fence, outcome }]).await.unwrap();
}

async fn act(store: &Store, dialogue: DialogueId, act: DialogueAct) {
    let acted = store.act_on_dialogue(dialogue, act, "anna", None).await.unwrap();
    assert!(matches!(acted, DialogueActed::Done { .. }), "{acted:?}");
}

/// What is owed after each story.
#[track_caller]
fn tells(
    story: impl AsyncFnOnce(&Store, ExecutorId, DialogueId),
    wanted: &str,
    after_give_back: &str,
) {
    let stage = Messenger::new(Duration::ZERO);
    let dialogue = stage.writes("whats", PEER);
    stage.database.run("UPDATE dialogues SET due_at = now()");
    let store = &stage.store;
    stage.runtime.block_on(async {
        let (id, presence) = executor(store).await;
        story(store, id, dialogue).await;
        drop(presence);
    });
    assert_eq!(stage.database.value(OWED), wanted);
    stage.runtime.block_on(act(store, dialogue, DialogueAct::GiveBack(Owed::Answered)));
    assert_eq!(stage.database.value(OWED), after_give_back);
}

#[test]
fn an_answer_that_did_not_arrive_is_owed() {
    tells(
        async |store, id, _| {
            answered(store, id).await;
            let permit = permitted(store, id).await;
            ends(store, permit, OutcomeClass::RecipientPermanent).await;
        },
        "with-operator waits",
        "open waits due",
    );
}

#[test]
fn an_answer_that_an_operator_stopped_before_it_left_is_owed() {
    tells(
        async |store, id, dialogue| {
            answered(store, id).await;
            act(store, dialogue, DialogueAct::Take).await;
        },
        "with-operator waits",
        "open waits due",
    );
}

#[test]
fn an_answer_that_an_operator_stopped_before_it_was_tried_again_is_owed() {
    tells(
        async |store, id, dialogue| {
            answered(store, id).await;
            let permit = permitted(store, id).await;
            act(store, dialogue, DialogueAct::Take).await;
            ends(store, permit, OutcomeClass::NotSent).await;
            assert_eq!(store.permit_replies(id, 1).await.unwrap(), []);
        },
        "with-operator waits",
        "open waits due",
    );
}

#[test]
fn an_operators_words_that_did_not_arrive_are_owed() {
    tells(
        async |store, id, dialogue| {
            anna_says(store, dialogue, "Anna here.").await;
            let permit = permitted(store, id).await;
            ends(store, permit, OutcomeClass::RecipientPermanent).await;
        },
        "with-operator waits",
        "open waits due",
    );
}

#[test]
fn whoever_was_answered_is_owed_nothing_for_what_did_not_arrive_later() {
    tells(
        async |store, id, dialogue| {
            answered(store, id).await;
            let permit = permitted(store, id).await;
            ends(store, permit, OutcomeClass::Sent).await;
            anna_says(store, dialogue, "One thing more.").await;
            let permit = permitted(store, id).await;
            ends(store, permit, OutcomeClass::RecipientPermanent).await;
        },
        "with-operator",
        "open",
    );
}
