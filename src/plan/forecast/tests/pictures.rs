//! What people read of a forecast.

use super::{foresee, task};
use crate::{
    domain::forecast::{Part, TaskFacts},
    plan::forecast::{Forecast, render_forecast, render_forecast_svg},
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
