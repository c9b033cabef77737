//! What people read of a forecast.

use super::{at, facts, foresee, task};
use crate::{
    domain::forecast::{Part, TaskFacts},
    plan::forecast::{Binding, Forecast, forecast, render_forecast, render_forecast_svg},
};

/// What a picture shows: a long task, a short one beside it, one that stands, and one without an end.
fn gallery() -> Forecast {
    let stands = TaskFacts { part: Part::Stands, ..task("00:00-24:00", 9, 3, &["b"], 5) };
    let started = TaskFacts { part: Part::IfStarted, ..task("09:00-18:00", 9, 60, &["b"], 1) };
    foresee(
        &[("a", 20), ("b", 20)],
        &[
            ("spring-renewals", task("09:00-18:00", 15, 45, &["a", "b"], 4_812)),
            ("news", task("00:00-24:00", 30, 3, &["b"], 70)),
            ("for-ever", task("00:00-24:00", 1, 3, &["b"], 1_000)),
            ("stands", stands),
            ("perhaps", started),
        ],
    )
}

#[test]
fn an_operator_reads_sentences_and_small_charts() {
    let text = render_forecast(&gallery(), false, 200);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::assert_snapshot!(text);
    let mut colored = render_forecast(&gallery(), true, 200);
    for code in ["1", "2", "36", "0"] {
        colored = colored.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(colored, text);
}

#[test]
fn the_picture_is_whole_in_itself() {
    let picture = render_forecast_svg(&gallery());
    assert!(
        picture.contains("<title id=\"title\">") && picture.contains("<desc id=\"description\">")
    );
    for foreign in ["<script", "href", "url(", "@import", "<image"] {
        assert!(!picture.contains(foreign), "{foreign}");
    }
    insta::assert_snapshot!(picture);
}

/// The sentence about the channel of one task.
fn told_of_channel(forecast: &Forecast) -> String {
    let text = render_forecast(forecast, false, 80);
    let (_, told) = text.split_once("\nchannel ").unwrap();
    let (told, _) = told.split_once("\nThis holds").unwrap();
    told.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_number_of_openings_and_its_percentage_are_of_one_thing() {
    let cases = [
        (20, 10, 0, "10 openings until 2026-06-01, 50 % of its 20 a day"),
        (200, 5, 0, "5 openings until 2026-06-01, 3 % of its 200 a day"),
        (20, 10, 2, "10 openings beside 2 of today until 2026-06-01, 50 % of its 20 a day"),
        (
            20,
            10,
            15,
            "10 openings beside 15 of today until 2026-06-02, on average 25 % of its 20 a day",
        ),
    ];
    for (limit, remaining, sent, told) in cases {
        let now = at("2026-06-01T00:00:00Z");
        let mut facts =
            facts(&[("a", limit)], &[("one", task("00:00-24:00", 99, 3, &["a"], remaining))]);
        facts.channels.values_mut().for_each(|channel| channel.today = sent);
        assert_eq!(told_of_channel(&forecast(&facts, now)), format!("a: {told}"));
    }
}

#[test]
fn hours_that_have_yet_to_open_hold_a_short_task() {
    // It begins at midnight: the hours, the contacts, and what holds them.
    let cases: [(&str, u64, &[Binding]); 4] = [
        ("00:00-24:00", 1, &[]),
        ("00:00-24:00", 5, &[Binding::Pause]),
        ("09:00-18:00", 1, &[Binding::WorkingHours]),
        ("09:00-18:00", 5, &[Binding::WorkingHours, Binding::Pause]),
    ];
    for (hours, remaining, binds) in cases {
        let forecast = foresee(&[("a", 20)], &[("one", task(hours, 9, 60, &["a"], remaining))]);
        let found = &forecast.tasks.values().next().unwrap().binds;
        assert_eq!(found, binds, "{hours} {remaining}");
    }
}
