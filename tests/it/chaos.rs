//! Executors that are killed, frozen and doubled; the providers' journal is the judge.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use nuncio::{domain::kind::ChannelKind, rehearsal::Entry};

use crate::support::{
    Folder, LEAVING, PATIENCE, Program, Providers, Running, TestDatabase, begin_within_a_day,
    channel, vk_task, wait_until,
};

const N_LANES: usize = 6;
const PAUSE_MS: i64 = 60;

/// Two running tasks, one on lanes of VKontakte and one on lanes of the WhatsApp Cloud API, which all
/// share one credential name a channel.
struct Arena {
    folder: Folder,
    database: TestDatabase,
    providers: Providers,
    n_contacts: usize,
    daily_limit: usize,
}

impl Arena {
    fn new(n_contacts: usize, daily_limit: usize, answer_delay: Duration) -> Self {
        let folder = Folder::with_team();
        let database = TestDatabase::new();
        let providers = Providers::start(answer_delay, false);
        let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for n in 0..N_LANES {
            for (kind, more) in [("vk-user", ""), ("waba", "  phoneNumberId: 1\n")] {
                let name = format!("{kind}-{n}");
                let chosen = if kind == "waba" { ChannelKind::Waba } else { ChannelKind::VkUser };
                let endpoint = providers.endpoint(chosen);
                let token = format!("token: {{env: {}}}", variable(&name));
                let more = format!("{more}  endpoint: {endpoint}\n  dailyLimit: {daily_limit}\n");
                folder.write(&format!("{name}.yaml"), &channel(&name, kind, &token, &more));
                names.entry(kind).or_default().push(name);
            }
        }
        let people: Vec<String> = (0..n_contacts).map(|n| (1_000_000 + n).to_string()).collect();
        let audience = format!("[{}]", people.join(", "));
        folder.write(
            "vk-task.yaml",
            &vk_task("vk-task", &names["vk-user"].join(", "), &audience, "  state: running")
                .replace("PerChannel: 20", "PerChannel: 100000"),
        );
        let people: Vec<String> =
            (0..n_contacts).map(|n| format!("\"+7916{:07}\"", 2_000_000 + n)).collect();
        let audience = format!("[{}]", people.join(", "));
        let waba = vk_task("waba-task", &names["waba"].join(", "), &audience, "  state: running")
            .replace("PerChannel: 20", "PerChannel: 100000")
            .replace("type: vkontakte", "type: whatsapp")
            .replace("{text: Hello!}", "{template: {name: hello, language: en, variables: []}}");
        folder.write("waba-task.yaml", &waba);
        let arena = Self { folder, database, providers, n_contacts, daily_limit };
        let applied = arena.program(&["apply", "--auto-approve"]).run();
        assert_eq!(applied.code, 0, "{}{}", applied.stdout, applied.stderr);
        arena.database.run(&format!("UPDATE tasks SET pause_ms = {PAUSE_MS}"));
        arena
    }

    fn program(&self, arguments: &[&str]) -> Program {
        let mut program = Program::new(self.folder.root(), arguments).database(&self.database);
        for n in 0..N_LANES {
            for kind in ["vk-user", "waba"] {
                let name = format!("{kind}-{n}");
                program = program.env(&variable(&name), Providers::secret(&name, "token"));
            }
        }
        program
    }

    fn watch(&self) -> Running {
        self.program(&["watch"]).start()
    }

    fn count(&self, query: &str) -> usize {
        self.database.value(query).parse().unwrap()
    }

    /// What must hold at any time, whatever was killed.
    fn check_facts(&self) {
        let deliveries = self.providers.deliveries();
        let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
        for entry in &deliveries {
            *seen.entry((&entry.provider, &entry.address)).or_default() += 1;
        }
        let doubled: Vec<_> = seen.iter().filter(|(_, n)| **n > 1).collect();
        assert!(doubled.is_empty(), "written to twice: {doubled:?}");

        let mut lanes: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in &deliveries {
            lanes.entry(&entry.channel).or_default().push(entry);
        }
        for (lane, mut entries) in lanes {
            entries.sort_by_key(|entry| entry.at_ms);
            let n = entries.len();
            assert!(
                n <= self.daily_limit,
                "{lane} sent {n}, above its limit of {}",
                self.daily_limit
            );
            for pair in entries.windows(2) {
                let gap = pair[1].at_ms - pair[0].at_ms;
                assert!(gap >= PAUSE_MS, "{lane}: a gap of {gap} ms");
            }
        }
    }

    /// Every contact is in exactly one of sent, failed, in doubt and waiting; what the journal has is
    /// sent or in doubt, and what is sent is in the journal.
    fn check_books(&self) {
        let n_retries = self.count("SELECT count(*) FROM retries");
        let fates = "WITH last AS (
                SELECT DISTINCT ON (task_id, address) task_id, address, outcome FROM attempts
                ORDER BY task_id, address, id DESC
            ), fate AS (
                SELECT c.task_id, c.address, CASE
                    WHEN EXISTS (SELECT FROM retries r WHERE r.task_id = c.task_id AND r.address = c.address)
                        THEN 'waiting'
                    WHEN last.address IS NULL THEN 'waiting' ELSE last.outcome END AS fate
                FROM contacts c LEFT JOIN last USING (task_id, address)
            )";
        let of = |fate: &str| {
            self.count(&format!("{fates} SELECT count(*) FROM fate WHERE fate = '{fate}'"))
        };
        let (sent, doubt, waiting) = (of("sent"), of("in-doubt"), of("waiting"));
        let total = self.n_contacts * 2;
        assert_eq!(
            sent + doubt + waiting,
            total,
            "sent {sent}, in doubt {doubt}, waiting {waiting}"
        );
        let remaining =
            self.count("SELECT sum(waiting) + (SELECT count(*) FROM retries) FROM audiences");
        assert_eq!(remaining, waiting, "the count of remaining is off; retries: {n_retries}");
        let counted = self.count("SELECT sum(n_sent + n_in_doubt) FROM task_channels");
        assert_eq!(counted, sent + doubt, "the counters are off");
        let deliveries = self.providers.deliveries();
        let worded =
            "SELECT string_agg(DISTINCT address, ' ') FROM attempts WHERE text IS NOT NULL";
        let worded = self.database.value(worded);
        let worded: HashSet<&str> = worded.split(' ').collect();
        let unknown: Vec<_> =
            deliveries.iter().filter(|e| !worded.contains(e.address.as_str())).collect();
        assert!(unknown.is_empty(), "nobody knows what was said in {unknown:?}");
        let delivered = deliveries.len();
        assert!(
            (sent..=sent + doubt + n_retries).contains(&delivered),
            "{delivered} delivered, {sent} sent, {doubt} in doubt, {n_retries} to be repeated"
        );
    }

    fn wait_until_settled(&self) {
        // One statement, for one moment: between two of them a grant could slip through.
        let open = "SELECT (SELECT count(*) FROM lanes WHERE in_flight IS NOT NULL)
            + (SELECT count(*) FROM retries)
            + (SELECT count(*) FROM turns WHERE verdict NOT IN ('audience-exhausted', 'daily-limit'))";
        wait_until("all attempts are settled", Duration::from_secs(480), || {
            let n = self.count(open);
            (n == 0, n)
        });
    }
}

fn variable(channel: &str) -> String {
    format!("TOKEN_{}", channel.replace('-', "_").to_uppercase())
}

/// A fixed sequence of pseudo-random numbers: the same moments in every run, as far as the machine lets.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn two_hundred_kills_double_nobody_and_lose_nobody() {
    // More than is sent before the last kill.
    let arena = Arena::new(3000, 100_000, Duration::from_millis(5));
    let mut dice = Dice(7);
    let deadline = Instant::now() + Duration::from_secs(240);
    let mut n_kills = 0;
    while n_kills < 200 && Instant::now() < deadline {
        let running = arena.watch();
        // From before the first connection to well into the sending.
        std::thread::sleep(Duration::from_millis(60 + dice.below(700)));
        running.kill();
        n_kills += 1;
    }
    assert_eq!(n_kills, 200, "the machine is too slow for this test");
    arena.check_facts();

    let last = arena.watch();
    wait_until("the last one is up", Duration::from_secs(20), || {
        let n = arena.count("SELECT count(*) FROM living_executors");
        (n == 1, n)
    });
    arena.wait_until_settled();
    assert_eq!(last.interrupt(LEAVING), 130);
    arena.check_facts();
    arena.check_books();
    // The same key was used again: on VKontakte nobody is lost, and nobody is in doubt.
    let vk = arena.providers.deliveries().iter().filter(|e| e.provider == "vk-user").count();
    assert_eq!(vk, arena.n_contacts);
    let doubts = "SELECT sum(n_in_doubt) FROM task_channels WHERE channel LIKE 'vk-%'";
    assert_eq!(arena.database.value(doubts), "0");
    let n_doubts = arena.count("SELECT sum(n_in_doubt) FROM task_channels");
    assert!(n_doubts > 0, "no kill hit a call: this test shows nothing");
}

#[test]
fn two_executors_share_the_lanes_and_one_takes_over() {
    begin_within_a_day(PATIENCE * 2);
    // About a minute of work: each lane sends its daily limit.
    let arena = Arena::new(5000, 300, Duration::from_millis(5));
    let first = arena.watch();
    let second = arena.watch();
    let owners = || {
        arena.count("SELECT count(DISTINCT owner) FROM lanes WHERE owner IN (SELECT id FROM living_executors)")
    };
    wait_until("both hold lanes", Duration::from_secs(20), || {
        let n = owners();
        (n == 2, n)
    });
    std::thread::sleep(Duration::from_secs(30));
    arena.check_facts();
    first.kill();
    let killed = Instant::now();
    wait_until("its lanes moved", Duration::from_secs(15), || {
        let free = arena.count(
            "SELECT count(*) FROM lanes WHERE owner IS NULL OR owner NOT IN (SELECT id FROM living_executors)",
        );
        (free == 0, free)
    });
    assert!(killed.elapsed() < Duration::from_secs(15));
    arena.wait_until_settled();
    drop(second);
    arena.check_facts();
    arena.check_books();
}

#[test]
fn a_frozen_executor_wakes_and_harms_nobody() {
    let arena = Arena::new(400, 100_000, Duration::from_millis(5));
    let frozen = arena.watch();
    wait_until("it sends", Duration::from_secs(20), || {
        let n = arena.providers.deliveries().len();
        (n > 50, n)
    });
    frozen.pause();
    let second = arena.watch();
    // The frozen one still has its session: only the end of its lease frees the lanes.
    wait_until("the lanes moved", Duration::from_secs(20), || {
        let n = arena
            .count("SELECT count(*) FROM lanes WHERE owner IN (SELECT id FROM living_executors)");
        (n == N_LANES * 2 + 1, n)
    });
    frozen.go_on();
    arena.wait_until_settled();
    drop((frozen, second));
    arena.check_facts();
    arena.check_books();
}

#[test]
fn a_limit_of_the_day_holds_over_crashes() {
    begin_within_a_day(PATIENCE);
    let arena = Arena::new(400, 9, Duration::from_millis(5));
    let mut dice = Dice(11);
    for _ in 0..15 {
        let running = arena.watch();
        std::thread::sleep(Duration::from_millis(150 + dice.below(400)));
        running.kill();
    }
    let last = arena.watch();
    arena.wait_until_settled();
    drop(last);
    arena.check_facts();
    arena.check_books();
}

/// What every task of the applied folder says: a title, a limit of all its tasks, and its people.
fn wave(n: usize, folder: &Folder) {
    for task in 0..WAVE_TASKS {
        // Fewer than half of the people are others in each wave.
        let people: Vec<String> =
            (0..WAVE_PEOPLE).map(|p| (1 + task * 1_000_000 + n * 300 + p).to_string()).collect();
        let audience = format!("[{}]", people.join(", "));
        let text = vk_task(&format!("wave-{task}"), "vk", &audience, "")
            .replace("PerChannel: 20", &format!("PerChannel: {}", 100 + n));
        folder.write(&format!("wave-{task}.yaml"), &text);
    }
}

const WAVE_TASKS: usize = 8;
const WAVE_PEOPLE: usize = 1500;

#[test]
fn an_apply_that_is_killed_wrote_all_of_its_plan_or_nothing() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    let apply = |timeout: &str| {
        let arguments = ["apply", "--auto-approve", "--lock-timeout", timeout];
        Program::new(folder.root(), &arguments).database(&database)
    };
    wave(0, &folder);
    // How long one takes that nobody kills, in milliseconds.
    let whole_apply = || {
        let begun = Instant::now();
        let ended = apply("10s").run();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        u64::try_from(begun.elapsed().as_millis()).unwrap()
    };
    let mut usual = whole_apply();
    // One row: the limit of each task, how many people it has, and the first of them.
    let state = || {
        database.value(
            "SELECT string_agg(DISTINCT t.daily_limit || ' ' || a.total || ' ' || c.n || ' '
                || (c.first % 1000000), ', ')
            FROM tasks t JOIN audiences a ON a.task_id = t.id JOIN LATERAL (
                SELECT count(*) AS n, min(address::bigint) AS first FROM contacts WHERE task_id = t.id
            ) c ON true",
        )
    };
    let whole = |n: usize| format!("{} {WAVE_PEOPLE} {WAVE_PEOPLE} {}", 100 + n, 1 + n * 300);
    let mut dice = Dice(11);
    let mut applied = 0;
    let (mut n_before, mut n_after) = (0, 0);
    for n in 1..=100 {
        wave(n, &folder);
        let running = apply("10s").start();
        std::thread::sleep(Duration::from_millis(dice.below(usual * 2)));
        running.kill();
        // A backend that was in the middle of a statement notices it within a second or so.
        let free = wait_until("the writer's lock is free", Duration::from_secs(5), || {
            let held = database.value(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            );
            (held == "0", held)
        });
        assert_eq!(free, "0");
        let seen = state();
        if seen == whole(n) {
            n_after += 1;
            applied = n;
        } else {
            assert_eq!(seen, whole(applied), "kill {n} left a part of its plan");
            n_before += 1;
        }
        // An audience that was left behind by several waves would lose too many people at once.
        if n - applied >= 2 {
            usual = whole_apply();
            assert_eq!(state(), whole(n));
            applied = n;
        }
    }
    assert!(n_before >= 10 && n_after >= 1, "{n_before} before and {n_after} after the commit");
    let plan = Program::new(folder.root(), &["apply", "--auto-approve"]).database(&database).run();
    assert_eq!(plan.code, 0);
    assert_eq!(state(), whole(100));
}
