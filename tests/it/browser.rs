//! Visitors of the chat page in a real browser.

use std::time::Duration;

use crate::support::{Behaviour, Hosted, run_in_browser};

const SCRIPT: (&str, &str) = ("browser.mjs", include_str!("browser.mjs"));

/// The AI thinks for a moment, so that its typing is seen.
const AI_DELAY: Duration = Duration::from_secs(1);

/// Two tabs, a reload, ten seconds without a connection, a script as a message, and somebody else: all of them
/// before the AI. With `SCREENSHOTS`, the beginning of a path, pictures of the page are left there.
#[test]
fn a_visitor_chats_in_a_browser() {
    let behaviour = Behaviour { answer_delay: AI_DELAY, ..Behaviour::default() };
    let hosted = Hosted::start_with(behaviour);
    let _working = hosted.work();
    if !run_in_browser(SCRIPT, &[&hosted.url("/chat/site")], |text| hosted.say("site", text)) {
        return;
    }

    // The database agrees: every message of the first visitor once, and in the order of writing.
    let texts = hosted.database.value(
        "SELECT string_agg(text, '|' ORDER BY position) FROM messages WHERE author = 'person' \
        AND dialogue_id = (SELECT min(id) FROM dialogues)",
    );
    let expected = [
        "Hello",
        "<script>document.title = 'taken over'</script>",
        "From the other tab",
        "How long does it take?",
        "Offline 1",
        "Offline 2",
        "Offline 3",
        "After a lost answer",
        "Back",
        "Who is this?",
    ];
    assert_eq!(texts, expected.join("|"));
    assert_eq!(hosted.database.value("SELECT count(*) FROM dialogues"), "2");
    // After the operator no word of the AI, and every word of it was asked for.
    let after = "SELECT count(*) FROM messages m WHERE author = 'ai' AND state = 'sent' AND EXISTS (
        SELECT FROM messages o WHERE o.dialogue_id = m.dialogue_id AND o.author = 'operator' AND o.id < m.id)";
    assert_eq!(hosted.database.value(after), "0");
    let said = hosted.database.value("SELECT count(*) FROM messages WHERE author = 'ai'");
    let asked = hosted.rehearsal.recent_ai().iter().filter(|call| call.status == 200).count();
    assert!(asked >= said.parse().unwrap(), "{asked} calls for {said} answers");
}
