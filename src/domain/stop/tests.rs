use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{StopLanguage, asks_to_stop};

const PHRASES: &str = include_str!("../../../tests/phrases/stop.tsv");
/// Before this line stand those that were looked at while the words were chosen.
const HELD_OUT: &str = "# Held out";

struct Line {
    is_stop: bool,
    text: &'static str,
}

fn lines(text: &'static str) -> Vec<Line> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut columns = line.splitn(3, '\t');
            let (language, verdict, text) =
                (columns.next().unwrap(), columns.next().unwrap(), columns.next().unwrap());
            language.parse::<StopLanguage>().unwrap();
            assert!(matches!(verdict, "stop" | "ordinary"), "{line}");
            Line { is_stop: verdict == "stop", text }
        })
        .collect()
}

/// The wishes that were missed and how many there are; no ordinary answer may be taken for one.
fn judge(lines: &[Line]) -> (Vec<&'static str>, usize) {
    let taken: Vec<_> = lines
        .iter()
        .filter(|line| !line.is_stop && asks_to_stop(line.text).is_some())
        .map(|line| line.text)
        .collect();
    let wishes: Vec<_> = lines.iter().filter(|line| line.is_stop).map(|line| line.text).collect();
    let missed: Vec<_> =
        wishes.iter().copied().filter(|text| asks_to_stop(text).is_none()).collect();
    assert!(
        taken.is_empty(),
        "ordinary answers that were taken for a wish to stop: {taken:#?}\nmissed: {missed:#?}"
    );
    (missed, wishes.len())
}

#[test]
fn of_what_people_write_98_in_100_wishes_are_understood_and_no_answer_is_mistaken() {
    let (looked_at, held_out) = PHRASES.split_once(HELD_OUT).unwrap();
    let sets = [lines(PHRASES), lines(looked_at), lines(held_out.split_once('\n').unwrap().1)];
    for set in &sets {
        let (missed, n_stop) = judge(set);
        assert!(missed.len() * 100 <= n_stop * 2, "of {n_stop} were missed: {missed:#?}");
    }
    let n_stop = sets[0].iter().filter(|line| line.is_stop).count();
    assert!(n_stop >= 400 && sets[0].len() - n_stop >= 400);
}

#[test]
fn a_wish_is_understood_through_disguise_and_decoration() {
    for text in [
        "S\u{200b}T\u{200b}OP",
        "\u{feff}stop\u{feff}",
        "ＳＴＯＰ",
        "🛑 STOP 🛑",
        "s.t.o.p.",
        "st0p",
        "\u{0421}T\u{041e}\u{041f}",
        "stоp",
        "«Стоп»",
        "> Spring sale!\nSTOP",
        "STOP\n[photo]",
        "Stop!\n[edited]",
        "[STOP]",
        "\u{202e}unsubscribe",
        "не\u{a0}пишите\u{a0}мне\u{a0}больше",
        "НЕ ПИШИТЕ МНЕ БОЛЬШЕ‼️",
        "Ya no me escriban ma\u{301}s",
    ] {
        assert!(asks_to_stop(text).is_some(), "{text:?}");
    }
}

#[test]
fn the_language_of_a_wish_is_told() {
    for (text, language) in [
        ("Stop", StopLanguage::English),
        ("Стоп", StopLanguage::Russian),
        ("Не надсилайте мені більше нічого", StopLanguage::Ukrainian),
        ("Маған жазбаңыз", StopLanguage::Kazakh),
        ("Bitte keine Nachrichten mehr", StopLanguage::German),
        ("No me escriban más", StopLanguage::Spanish),
        ("Não me mande mais mensagens", StopLanguage::Portuguese),
        ("Bana bir daha yazmayın", StopLanguage::Turkish),
    ] {
        assert_eq!(asks_to_stop(text), Some(language), "{text}");
    }
}

/// More than any messenger lets a person send: in its length, and in words that begin many phrases.
#[test]
fn a_long_text_is_a_matter_of_a_moment() {
    const LENGTH: usize = 100 * 1024;
    // A debug build on a busy machine; a quadratic look would take minutes.
    const MOMENT: Duration = Duration::from_secs(5);
    let started = Instant::now();
    for unit in
        ["не ", "unsubscribee ", "a", "\"", "> ", "stop, ", "dont want to ", "a.", "\u{301}", "é"]
    {
        asks_to_stop(&unit.repeat(LENGTH / unit.len()));
    }
    let far = format!("{}. Не пишите мне больше", "слово ".repeat(LENGTH / 11));
    assert_eq!(asks_to_stop(&far), Some(StopLanguage::Russian));
    assert!(started.elapsed() < MOMENT, "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in any::<String>()) {
        asks_to_stop(&text);
    }

    #[test]
    fn words_in_any_order_and_with_any_marks_are_read(
        text in "([ .,!?>\"«»'*0-9]|не|пишите|мне|stop|no|me|bitte|\u{301}|\u{200b}|İ|ß|ﬀ){0,40}"
    ) {
        asks_to_stop(&text);
    }
}
