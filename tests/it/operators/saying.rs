//! What operators say: once, unless it is meant.

use super::Desk;
use crate::support::Program;

#[test]
fn the_same_words_are_said_twice_only_where_it_is_meant() {
    let (desk, all) = Desk::with_every_state();
    let id = all["open"].to_string();
    let say = |options: &[&str], text: &str| {
        desk.run_with(&[&["dialogue", "say", &id, text], options].concat())
    };
    let said = || desk.database.value("SELECT count(*) FROM messages WHERE author = 'operator'");
    let peer = desk.database.value(&format!("SELECT peer FROM dialogues WHERE id = {id}"));
    assert_eq!(say(&[], "It is me").code, 0);
    // The key was pressed twice.
    let refused = say(&[], "It is me");
    assert_eq!((refused.code, said()), (3, "1".to_owned()), "{refused:?}");
    for told in ["the same was said ", " s ago, as message m", "hint: give --again"] {
        assert!(refused.stderr.contains(told), "{told}: {refused:?}");
    }
    assert_eq!((say(&["--again"], "It is me").code, said()), (0, "2".to_owned()));
    assert_eq!((say(&[], "And you?").code, said()), (0, "3".to_owned()));
    assert_eq!(
        (say(&[], "It is me").code, said()),
        (0, "4".to_owned()),
        "something was said in between"
    );
    // So it is where the person answered, and where it was long ago, or never arrived.
    desk.writes(&peer, "more", "Who?");
    assert_eq!((say(&[], "It is me").code, said()), (0, "5".to_owned()));
    desk.database.run("UPDATE messages SET at = at - interval '61 s'");
    assert_eq!((say(&[], "It is me").code, said()), (0, "6".to_owned()));
    desk.database
        .run("UPDATE messages SET state = 'discarded', ready_at = NULL WHERE state = 'waiting'");
    assert_eq!((say(&[], "It is me").code, said()), (0, "7".to_owned()));

    // A script that tries again is told that it is done, whenever it comes.
    let errand = ["--idempotency-key", "ticket-17"];
    assert_eq!((say(&errand, "Your order has left").code, said()), (0, "8".to_owned()));
    desk.writes(&peer, "thanks", "Thank you");
    desk.database.run("UPDATE messages SET at = at - interval '1 day'");
    let again = say(&errand, "Your order has left");
    assert_eq!((again.code, said()), (0, "8".to_owned()), "{again:?}");
    assert!(again.stderr.contains("that was said already, as message m"), "{again:?}");
    let other = say(&errand, "Your order is lost");
    assert_eq!((other.code, said()), (3, "8".to_owned()), "{other:?}");
    assert!(other.stderr.contains("other words were said under this key"), "{other:?}");
    // A key is of one dialogue.
    let elsewhere = all["closed"].to_string();
    let words = ["dialogue", "say", &elsewhere, "Your order is lost", errand[0], errand[1]];
    assert_eq!((desk.run_with(&words).code, said()), (0, "9".to_owned()));
    for wrong in ["", "a b", "\u{e4}"] {
        assert_eq!(say(&["--idempotency-key", wrong], "x").code, 64);
    }
}

#[test]
fn of_several_who_say_the_same_at_once_one_is_heard() {
    let (desk, all) = Desk::with_every_state();
    let say = |options: &str| {
        let line = format!("dialogue say {} Hello {options}", all["open"]);
        let words: Vec<String> = line.trim().split(' ').map(str::to_owned).collect();
        let (folder, database) = (&desk.folder, &desk.database);
        std::thread::scope(|scope| {
            let runs: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let words: Vec<&str> = words.iter().map(String::as_str).collect();
                        Program::new(folder.root(), &words).database(database).run().code
                    })
                })
                .collect();
            let mut codes: Vec<i32> = runs.into_iter().map(|run| run.join().unwrap()).collect();
            codes.sort_unstable();
            codes
        })
    };
    assert_eq!(say(""), [0, 3, 3, 3]);
    assert_eq!(say("--idempotency-key one"), [0, 0, 0, 0]);
    assert_eq!(desk.database.value("SELECT count(*) FROM messages WHERE author = 'operator'"), "2");
}
