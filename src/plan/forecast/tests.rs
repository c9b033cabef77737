//! The forecast against the rules of the domain, stepped through second by second.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, NaiveDate, TimeDelta, Timelike as _, Utc};
use chrono_tz::Tz;
use proptest::{
    collection::{btree_set, vec},
    option,
    prelude::*,
    sample::select,
};
use uuid::Uuid;

use super::{
    Exhausted, Forecast, Never, forecast, render_forecast, render_forecast_svg,
    windows::{DAY_S, MICROS, open_spans},
};
use crate::domain::{
    forecast::{Block, ChannelFacts, ForecastFacts, Part, TaskFacts, TurnFacts},
    id::{ChannelName, TaskId, TaskName},
    money::MicroUsd,
    phase::{Phase, RunState},
    task::{Opening, Outgoing, TaskSpec},
};

/// The rules as `domain.md` has them, for one second after the other. It shares nothing with the
/// forecast but its facts.
struct Stepper {
    facts: ForecastFacts,
    day: NaiveDate,
    /// Openings by task and day, by channel and day, and the times of each task's first and last one.
    by_task: BTreeMap<(TaskName, NaiveDate), u64>,
    by_channel: BTreeMap<(ChannelName, NaiveDate), u64>,
    first: BTreeMap<TaskName, DateTime<Utc>>,
    last: BTreeMap<TaskName, DateTime<Utc>>,
}

impl Stepper {
    fn run(facts: &ForecastFacts, now: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        let mut stepper = Self {
            facts: facts.clone(),
            day: facts.counted_at.date_naive(),
            by_task: BTreeMap::new(),
            by_channel: BTreeMap::new(),
            first: BTreeMap::new(),
            last: BTreeMap::new(),
        };
        let channels: Vec<ChannelName> = facts.channels.keys().cloned().collect();
        let mut second = now;
        let mut open = BTreeMap::new();
        while second < until {
            if second.date_naive() != stepper.day {
                stepper.new_day(second.date_naive());
            }
            for channel in &channels {
                let Some(task) = stepper.whose_turn(channel, second, &mut open) else { continue };
                stepper.send(&task, channel, second);
            }
            second += TimeDelta::seconds(1);
        }
        stepper
    }

    fn new_day(&mut self, day: NaiveDate) {
        self.day = day;
        for channel in self.facts.channels.values_mut() {
            channel.today = 0;
        }
        for task in self.facts.tasks.values_mut() {
            for turn in task.channels.values_mut() {
                turn.today = 0;
            }
        }
    }

    fn whose_turn(
        &self,
        name: &ChannelName,
        second: DateTime<Utc>,
        open: &mut BTreeMap<TaskName, (DateTime<Utc>, i64)>,
    ) -> Option<TaskName> {
        let channel = &self.facts.channels[name];
        let is_blocked = match channel.block {
            Some(Block::UntilUnblocked) => true,
            Some(Block::Until(until)) => second < until,
            None => false,
        };
        if is_blocked
            || channel.rests_until.is_some_and(|until| second < until)
            || channel.today >= channel.daily_limit
        {
            return None;
        }
        let may = |task: &TaskFacts| {
            let turn = task.channels.get(name)?;
            let pause = task.pause.max(channel.last_pause);
            let waits = channel.last_opening_at.is_some_and(|last| second < last + pause);
            let may = task.part != Part::Stands
                && task.remaining > 0
                && turn.today < task.daily_limit_per_channel
                && !waits;
            may.then_some(turn.last_opening_at)
        };
        let waiting = self.facts.tasks.iter().filter_map(|(task, facts)| {
            let last = may(facts)?;
            is_open(facts, task, second, open).then_some((last, facts.id.is_none(), facts.id, task))
        });
        waiting.min().map(|(_, _, _, task)| task.clone())
    }

    fn send(&mut self, task: &TaskName, channel: &ChannelName, second: DateTime<Utc>) {
        let facts = self.facts.tasks.get_mut(task).unwrap();
        facts.remaining -= 1;
        let turn = facts.channels.get_mut(channel).unwrap();
        turn.today += 1;
        turn.last_opening_at = Some(second);
        let lane = self.facts.channels.get_mut(channel).unwrap();
        lane.today += 1;
        lane.last_opening_at = Some(second);
        lane.last_pause = facts.pause;
        *self.by_task.entry((task.clone(), self.day)).or_default() += 1;
        *self.by_channel.entry((channel.clone(), self.day)).or_default() += 1;
        self.first.entry(task.clone()).or_insert(second);
        self.last.insert(task.clone(), second);
    }
}

/// By the clock on the wall, which is asked once a minute: zones change at whole minutes.
fn is_open(
    task: &TaskFacts,
    name: &TaskName,
    second: DateTime<Utc>,
    clocks: &mut BTreeMap<TaskName, (DateTime<Utc>, i64)>,
) -> bool {
    let minute = second - TimeDelta::seconds(i64::from(second.second()));
    let known = clocks.get(name).filter(|(of, _)| *of == minute).map(|(_, clock)| *clock);
    let at_minute = known.unwrap_or_else(|| {
        let clock = i64::from(minute.with_timezone(&task.timezone).num_seconds_from_midnight());
        clocks.insert(name.clone(), (minute, clock));
        clock
    });
    let clock = at_minute + i64::from(second.second());
    let from = i64::from(task.working_hours.from_minute()) * 60;
    let to = i64::from(task.working_hours.to_minute()) * 60;
    // Hours close a second early.
    match (from, to) {
        (0, 86_400) => true,
        _ if from < to => from <= clock && clock < to - 1,
        _ => from <= clock || clock < to - 1,
    }
}

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(prefix: &str, index: usize) -> T {
    format!("{prefix}-{index}").parse().unwrap()
}

/// Days before the turns of daylight saving, of Lord Howe's half hour too, and ordinary ones.
const STARTS: &[(&str, Tz)] = &[
    ("2026-03-28T00:00:00Z", Tz::Europe__Berlin),
    ("2026-10-24T00:00:00Z", Tz::Europe__Berlin),
    ("2026-11-01T00:00:00Z", Tz::America__New_York),
    ("2026-04-04T00:00:00Z", Tz::Australia__Lord_Howe),
    ("2026-06-15T00:00:00Z", Tz::Asia__Kolkata),
];
const HOURS: &[&str] = &[
    "00:00-24:00",
    "09:00-18:00",
    "23:00-08:00",
    "01:30-02:45",
    "18:00-24:00",
    "02:00-02:01",
    "23:59-00:01",
    "00:00-00:01",
];
const N_DAYS: usize = 4;

fn channel_facts(now: DateTime<Utc>) -> impl Strategy<Value = ChannelFacts> {
    let block = prop_oneof![
        4 => Just(None),
        1 => (0..90_000i64).prop_map(move |s| Some(Block::Until(now + TimeDelta::seconds(s)))),
        1 => Just(Some(Block::UntilUnblocked)),
    ];
    let ago = option::of(0..4_000i64);
    (1..60u32, 0..20u32, ago, 3..4_000u64, block, option::of(0..4_000i64)).prop_map(
        move |(daily_limit, today, ago, pause, block, rest)| ChannelFacts {
            daily_limit,
            today,
            last_opening_at: ago.map(|s| now - TimeDelta::seconds(s)),
            last_pause: Duration::from_secs(pause),
            block,
            rests_until: rest.map(|s| now + TimeDelta::seconds(s)),
        },
    )
}

fn task_facts(
    now: DateTime<Utc>,
    zone: Tz,
    index: usize,
    n_channels: usize,
) -> impl Strategy<Value = TaskFacts> {
    // Some that end in the last second of a minute.
    let pause = prop_oneof![3..10u64, 10..3_000u64, Just(59u64), Just(60u64), 3_000..100_000u64];
    let channels = btree_set(0..n_channels, 1..=n_channels);
    let turns = vec((0..8u32, option::of(0..9_000i64)), n_channels);
    let part = select(&[Part::Runs, Part::Runs, Part::Runs, Part::IfStarted, Part::Stands][..]);
    (
        select(HOURS),
        select(vec![zone, zone, Tz::UTC]),
        1..40u32,
        pause,
        channels,
        turns,
        0..90u64,
        part,
    )
        .prop_map(
            move |(
                hours,
                timezone,
                daily_limit_per_channel,
                pause,
                channels,
                turns,
                remaining,
                part,
            )| {
                let turn = |c: usize| TurnFacts {
                    today: turns[c].0,
                    last_opening_at: turns[c].1.map(|s| now - TimeDelta::seconds(s)),
                };
                TaskFacts {
                    // Ids in another order than names; the last has none.
                    id: (index > 0).then(|| TaskId(Uuid::from_u128(10 - index as u128))),
                    phase: Phase::InProgress,
                    part,
                    working_hours: hours.parse().unwrap(),
                    timezone,
                    daily_limit_per_channel,
                    pause: Duration::from_secs(pause),
                    channels: channels.iter().map(|c| (name("channel", *c), turn(*c))).collect(),
                    remaining,
                    spending_limit_per_dialogue: MicroUsd::from_micros(500_000),
                }
            },
        )
}

fn situation() -> impl Strategy<Value = (ForecastFacts, DateTime<Utc>)> {
    let start = (select(STARTS), 0..86_400i64)
        .prop_map(|((day, zone), s)| (at(day) + TimeDelta::seconds(s), zone));
    (start, 1..4usize, 1..5usize).prop_flat_map(|((now, zone), n_channels, n_tasks)| {
        let tasks: Vec<_> = (0..n_tasks).map(|i| task_facts(now, zone, i, n_channels)).collect();
        (vec(channel_facts(now), n_channels), tasks).prop_map(move |(channels, tasks)| {
            let facts = ForecastFacts {
                counted_at: now,
                channels: (0..).zip(channels).map(|(i, c)| (name("channel", i), c)).collect(),
                tasks: (0..).zip(tasks).map(|(i, t)| (name("task", i), t)).collect(),
            };
            (facts, now)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_is_forecast_is_what_the_rules_do((facts, now) in situation()) {
        let until = (now.date_naive() + chrono::Days::new(N_DAYS as u64))
            .and_hms_opt(0, 0, 0).unwrap().and_utc();
        let stepped = Stepper::run(&facts, now, until);
        let foreseen = forecast(&facts, now);
        for day in 0..N_DAYS {
            let date = foreseen.day(day);
            for (name, task) in &foreseen.tasks {
                let seen = stepped.by_task.get(&(name.clone(), date)).copied().unwrap_or(0);
                let n = task.openings.get(day).copied().unwrap_or(0);
                prop_assert_eq!(n, seen, "{} on {}", name, date);
            }
            for (name, channel) in &foreseen.channels {
                let seen = stepped.by_channel.get(&(name.clone(), date)).copied().unwrap_or(0);
                let n = channel.openings.get(day).copied().unwrap_or(0);
                prop_assert_eq!(n, seen, "{} on {}", name, date);
            }
        }
        for (name, task) in &foreseen.tasks {
            let before = &facts.tasks[name];
            prop_assert_eq!(task.openings.iter().sum::<u64>() + task.left, before.remaining);
            // To the second, which is within any pause.
            let first = task.first_opening_at.filter(|at| *at < until);
            prop_assert_eq!(first.as_ref(), stepped.first.get(name), "{}", name);
            let is_over = stepped.facts.tasks[name].remaining == 0 && before.remaining > 0;
            match task.exhausted {
                Exhausted::At(at) if at < until => {
                    prop_assert!(is_over);
                    prop_assert_eq!(Some(&at), stepped.last.get(name), "{}", name);
                }
                _ => prop_assert!(!is_over, "{}", name),
            }
        }
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn task(hours: &str, limit: u32, pause: u64, channels: &[&str], remaining: u64) -> TaskFacts {
    TaskFacts {
        id: None,
        phase: Phase::InProgress,
        part: Part::Runs,
        working_hours: hours.parse().unwrap(),
        timezone: Tz::UTC,
        daily_limit_per_channel: limit,
        pause: Duration::from_secs(pause),
        channels: channels.iter().map(|c| (c.parse().unwrap(), TurnFacts::default())).collect(),
        remaining,
        spending_limit_per_dialogue: MicroUsd::from_micros(500_000),
    }
}

fn foresee(channels: &[(&str, u32)], tasks: &[(&str, TaskFacts)]) -> Forecast {
    let now = at("2026-06-01T00:00:00Z");
    let facts = ForecastFacts {
        counted_at: now,
        channels: channels
            .iter()
            .map(|(name, limit)| (name.parse().unwrap(), ChannelFacts::unused(*limit)))
            .collect(),
        tasks: tasks.iter().map(|(name, task)| (name.parse().unwrap(), task.clone())).collect(),
    };
    forecast(&facts, now)
}

fn one(channels: &[(&str, u32)], facts: TaskFacts) -> super::TaskForecast {
    foresee(channels, &[("one", facts)]).tasks.into_values().next().unwrap()
}

#[test]
fn open_spans_are_what_the_clock_on_the_wall_says() {
    let zones = [Tz::UTC].into_iter().chain(STARTS.iter().map(|(_, zone)| *zone));
    for (zone, hours) in zones.flat_map(|zone| HOURS.iter().map(move |hours| (zone, *hours))) {
        let task = TaskFacts { timezone: zone, ..task(hours, 1, 3, &[], 1) };
        let mut clocks = BTreeMap::new();
        for start in STARTS.iter().flat_map(|(day, _)| [at(day), at(day) + TimeDelta::days(1)]) {
            let spans = open_spans(task.working_hours, zone, start.timestamp());
            assert!(spans.windows(2).all(|pair| pair[0].to < pair[1].from), "{spans:?}");
            for minute in 0..DAY_S / 60 {
                for second in [0, 1, 58, 59] {
                    let at = start + TimeDelta::seconds(minute * 60 + second);
                    let micros = at.timestamp() * MICROS;
                    let is_inside = spans.iter().any(|s| s.from <= micros && micros < s.to);
                    let is_open = is_open(&task, &name("task", 0), at, &mut clocks);
                    assert_eq!(is_inside, is_open, "{hours} {zone} at {at}");
                }
            }
        }
    }
}

#[test]
fn between_tasks_that_may_at_once_the_least_recent_opening_goes_first() {
    let equal = task("09:00-18:00", 9, 3, &["a"], 15);
    let forecast = foresee(&[("a", 3)], &[("one", equal.clone()), ("two", equal)]);
    let [one, two] = ["one", "two"].map(|name| &forecast.tasks[&name.parse().unwrap()]);
    assert_eq!(one.openings[..4], [2, 1, 2, 1]);
    assert_eq!(two.openings[..4], [1, 2, 1, 2]);
}

#[test]
fn who_comes_after_an_audience_that_another_lane_exhausts_keeps_its_hours() {
    let forecast = foresee(
        &[("a", 20), ("b", 20)],
        &[
            ("ends", task("00:00-24:00", 9, 3, &["a", "b"], 1)),
            ("later", task("09:00-18:00", 9, 3, &["b"], 1)),
        ],
    );
    let later = &forecast.tasks[&"later".parse().unwrap()];
    assert_eq!(later.exhausted, Exhausted::At(at("2026-06-01T09:00:00Z")));
    let ends = &forecast.tasks[&"ends".parse().unwrap()];
    assert_eq!(ends.exhausted, Exhausted::At(at("2026-06-01T00:00:00Z")));
}

#[test]
fn each_task_says_what_binds_it() {
    for (channel_limit, facts, binds) in [
        (100, task("00:00-24:00", 30, 3, &["a"], 4_000), "daily-limit-of-the-task"),
        (20, task("00:00-24:00", 30, 3, &["a"], 4_000), "daily-limit-of-the-channel"),
        (90_000, task("00:00-24:00", 90_000, 60, &["a"], 4_000), "pause-between-dialogues"),
        (
            90_000,
            task("09:00-10:00", 90_000, 60, &["a"], 4_000),
            "pause-between-dialogues, working-hours",
        ),
        (100, task("00:00-24:00", 30, 60, &["a"], 5), "pause-between-dialogues"),
        (100, task("00:00-24:00", 30, 60, &["a"], 1), ""),
    ] {
        let words: Vec<&str> =
            one(&[("a", channel_limit)], facts).binds.iter().map(|b| b.as_str()).collect();
        assert_eq!(words.join(", "), binds);
    }
}

#[test]
fn why_nothing_can_be_said_is_said() {
    let free = &[("a", 20)][..];
    let stands = TaskFacts { part: Part::Stands, ..task("00:00-24:00", 9, 3, &["a"], 5) };
    for (facts, why, left) in [
        (task("00:00-24:00", 9, 3, &["a"], 0), Never::AudienceExhausted, 0),
        (TaskFacts { phase: Phase::Completed, ..stands.clone() }, Never::Completed, 5),
        (stands, Never::NotRunning, 5),
        (task("00:00-24:00", 9, 3, &["unknown"], 5), Never::ChannelsBlocked, 5),
        (task("00:00-24:00", 1, 3, &["a"], 400), Never::BeyondHorizon, 400 - 366),
    ] {
        let task = one(free, facts);
        assert_eq!((task.exhausted, task.left), (Exhausted::Never(why), left));
    }
}

#[test]
fn a_task_with_a_longer_pause_starves_beside_one_with_a_shorter() {
    let forecast = foresee(
        &[("a", 1_000)],
        &[
            ("patient", task("00:00-24:00", 50, 60, &["a"], 10)),
            ("quick", task("00:00-24:00", 100, 3, &["a"], 150)),
        ],
    );
    let [patient, quick] = ["patient", "quick"].map(|name| &forecast.tasks[&name.parse().unwrap()]);
    // Without an earlier opening it goes first, and then only once the other has reached its limit.
    assert_eq!(patient.first_opening_at, Some(at("2026-06-01T00:00:00Z")));
    assert_eq!(quick.first_opening_at, Some(at("2026-06-01T00:01:00Z")));
    assert_eq!(patient.exhausted, Exhausted::At(at("2026-06-01T00:14:57Z")));
    assert_eq!(quick.openings, [100, 50]);
}

#[test]
fn the_greatest_cost_is_exact_and_never_wraps() {
    let cheap = one(&[("a", 20)], task("00:00-24:00", 9, 3, &["a"], 4_812));
    assert_eq!(cheap.greatest_cost.unwrap().to_string(), "2406.00");
    let dear = TaskFacts {
        spending_limit_per_dialogue: MicroUsd::from_micros(i64::MAX),
        ..task("00:00-24:00", 9, 3, &["a"], 2)
    };
    let forecast = foresee(&[("a", 20)], &[("one", dear)]);
    assert_eq!(forecast.greatest_cost(), None);
}

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

fn spec(task: &TaskFacts, state: Option<RunState>) -> TaskSpec {
    TaskSpec {
        title: None,
        messenger: "vkontakte".parse().unwrap(),
        format: "incoming-and-outgoing".parse().unwrap(),
        channels: task.channels.keys().cloned().collect(),
        managers: ["anna".parse().unwrap()].into(),
        ai: "sales".parse().unwrap(),
        integration: None,
        spending_limit_per_dialogue: task.spending_limit_per_dialogue,
        state,
        protect: None,
        outgoing: Some(Outgoing {
            working_hours: task.working_hours,
            timezone: task.timezone,
            daily_limit_per_channel: task.daily_limit_per_channel,
            pause_between_dialogues: task.pause,
            opening: Opening::WrittenByAi,
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_task_overlaid_by_its_own_manifest_changes_nothing((facts, _) in situation()) {
        for (name, task) in &facts.tasks {
            let task = TaskFacts { part: Part::Runs, ..task.clone() };
            let mut before = facts.clone();
            before.tasks.insert(name.clone(), task.clone());
            let after = before.clone().with_task(name, &spec(&task, None), task.remaining);
            prop_assert_eq!(after, before);
        }
    }
}

#[test]
fn an_overlaid_task_runs_as_its_manifest_says() {
    let name: TaskName = "one".parse().unwrap();
    let (running, paused, completed) =
        (Some(RunState::Running), Some(RunState::Paused), Some(RunState::Completed));
    for (before, state, part) in [
        (None, None, Part::IfStarted),
        (None, running, Part::Runs),
        (None, completed, Part::Stands),
        (Some(Phase::InProgress), None, Part::Runs),
        (Some(Phase::InProgress), paused, Part::IfStarted),
        (Some(Phase::Stopped), None, Part::IfStarted),
        (Some(Phase::Awaiting), running, Part::Runs),
        (Some(Phase::Completed), running, Part::Stands),
    ] {
        let counted_at = at("2026-06-01T00:00:00Z");
        let mut facts =
            ForecastFacts { counted_at, channels: BTreeMap::new(), tasks: BTreeMap::new() };
        let sent = TurnFacts { today: 4, last_opening_at: Some(counted_at) };
        let mut known = task("00:00-24:00", 9, 3, &["a"], 5);
        known.channels.insert("a".parse().unwrap(), sent);
        if let Some(phase) = before {
            facts.tasks.insert(name.clone(), TaskFacts { phase, ..known.clone() });
        }
        let planned = task("09:00-18:00", 30, 60, &["a", "b"], 0);
        let facts = facts.with_channel(&"a".parse().unwrap(), 7).with_task(
            &name,
            &spec(&planned, state),
            12,
        );
        let seen = &facts.tasks[&name];
        assert_eq!((seen.part, seen.remaining), (part, 12), "{before:?} {state:?}");
        assert_eq!((seen.pause, seen.working_hours), (planned.pause, planned.working_hours));
        let kept = if before.is_some() { sent } else { TurnFacts::default() };
        assert_eq!(seen.channels[&"a".parse().unwrap()], kept);
        assert_eq!(facts.channels[&"a".parse().unwrap()].daily_limit, 7);
        assert!(facts.channels.contains_key(&"b".parse().unwrap()));
    }
}
