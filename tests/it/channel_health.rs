//! A channel that its provider refuses: seen, stopped alone, asked for, and resumed.

use nuncio::domain::attempt::{Outcome, OutcomeClass};
use serde_json::Value;

use crate::support::{Behaviour, Ended, Hosted, PATIENCE, Program, channel, vk_task, wait_until};

/// Two tasks that only answer: one through an account whose credential has expired.
fn hosted() -> Hosted {
    let task = |name: &str, channel: &str| {
        let whole = vk_task(name, channel, "[1]", "  state: running");
        let (incoming, _) = whole.split_once("  outgoing:").unwrap();
        incoming.replace("incoming-and-outgoing", "incoming")
    };
    let expired = channel("vk-expired", "vk-user", "token: {env: ONE}", "");
    let well = channel("vk-well", "vk-user", "token: {env: TWO}", "");
    let manifests = [
        ("expired.yaml", expired),
        ("well.yaml", well),
        ("first.yaml", task("first", "vk-expired")),
        ("second.yaml", task("second", "vk-well")),
    ];
    let manifests = manifests.each_ref().map(|(name, text)| (*name, text.as_str()));
    Hosted::with(&manifests, Behaviour { faults: true, ..Behaviour::default() })
}

fn run(hosted: &Hosted, line: &str) -> Ended {
    let arguments: Vec<_> = line.split(' ').collect();
    Program::new(hosted.folder.root(), &arguments).database(&hosted.database).run()
}

fn channels(hosted: &Hosted) -> Value {
    let told = run(hosted, "channel status --offline --output json");
    assert_eq!(told.code, 0, "{told:?}");
    serde_json::from_str::<Value>(&told.stdout).unwrap()["channels"].take()
}

#[test]
fn an_account_that_is_refused_when_it_is_polled_stops_its_lane_and_is_seen() {
    let hosted = hosted();
    let working = hosted.work();
    wait_until("the refusal is seen", PATIENCE, || {
        let all = channels(&hosted);
        (!all[0]["blocked"].is_null() && !all[1]["polled_at"].is_null(), all)
    });
    let all = channels(&hosted);
    assert_eq!((&all[0]["name"], &all[0]["watched"]), (&"vk-expired".into(), &true.into()));
    let reason = all[0]["blocked"]["reason"].as_str().unwrap();
    assert_eq!(reason, "VKontakte error 5: the token is refused");
    assert_eq!(all[0]["not_receiving"]["reason"], reason);
    assert_eq!(all[0]["blocked"]["liftable"], true);
    assert_eq!(all[0]["tasks"], serde_json::json!(["first"]));
    assert!(all[1]["blocked"].is_null() && all[1]["not_receiving"].is_null(), "{all}");

    let human = run(&hosted, "channel status --offline");
    let trouble = "\n  ! blocked: VKontakte error 5: the token is refused; resume: nuncio unblock";
    let unwrapped = human.stdout.replace("\n    ", " ");
    assert!(
        unwrapped.starts_with("vk-expired (vk-user)\n") && unwrapped.contains(trouble),
        "{unwrapped}"
    );
    assert!(human.stdout.lines().all(|line| line.chars().count() <= 80), "{}", human.stdout);

    // Of a task that only answers, too.
    let executor = nuncio::domain::id::ExecutorId(uuid::Uuid::now_v7());
    let registering = hosted.store.register_executor(executor, "here", 1);
    let _presence = hosted.runtime.block_on(registering).unwrap();
    hosted.database.run(
        "INSERT INTO watches (id, host, pid, folder, alive_until)
        VALUES (gen_random_uuid(), 'here', 1, 'tasks.d', now() + interval '1 hour')",
    );
    let status = run(&hosted, "status first").stdout.replace("\n  ", " ");
    let first = "`first` is in trouble: channel `vk-expired` blocked: VKontakte error 5: the token is refused; \
                 resume: nuncio unblock vk-expired.";
    assert!(status.starts_with(first), "{status}");
    let json: Value = serde_json::from_str(&run(&hosted, "status --output json").stdout).unwrap();
    let health = |task: usize| {
        let condition = &json["tasks"][task]["conditions"][1];
        format!("{} {}", condition["status"], condition["reason"]).replace('"', "")
    };
    assert_eq!(health(0), "Degraded ChannelBlocked");
    assert_eq!(health(1), "Healthy IncomingOnly");
    drop(working);

    assert_eq!(run(&hosted, "unblock vk-expired").code, 0);
    let all = channels(&hosted);
    assert!(all[0]["blocked"].is_null() && all[0]["not_receiving"].is_null(), "{all}");
    // The credential is still refused.
    let _working = hosted.work();
    wait_until("it is refused again", PATIENCE, || {
        let all = channels(&hosted);
        (!all[0]["blocked"].is_null(), all)
    });
}

#[test]
fn what_passes_by_itself_blocks_nothing_and_is_told_while_it_lasts() {
    let hosted = hosted();
    let away = Outcome::of(OutcomeClass::NotSent, "VKontakte: the provider could not be reached");
    let (store, channel) = (&hosted.store, &"vk-well".parse().unwrap());
    let executor = nuncio::domain::id::ExecutorId(uuid::Uuid::now_v7());
    let note = |problem: Option<&Outcome>| {
        hosted.runtime.block_on(store.note_receiving(executor, channel, problem)).unwrap();
    };
    // Whoever does not hold the lane changes nothing.
    note(Some(&away));
    assert!(channels(&hosted)[1]["not_receiving"].is_null());
    let _presence = hosted.runtime.block_on(async {
        let presence = store.register_executor(executor, "here", 1).await.unwrap();
        drop(store.sweep_lanes(executor).await.unwrap());
        presence
    });
    note(Some(&away));
    let first = channels(&hosted)[1]["not_receiving"].clone();
    assert_eq!(first["reason"], "VKontakte: the provider could not be reached");
    assert!(channels(&hosted)[1]["blocked"].is_null());
    note(Some(&away));
    assert_eq!(channels(&hosted)[1]["not_receiving"], first, "since the first of them");
    hosted.database.run(
        "UPDATE lanes SET unheard_since = now() - interval '2 minutes'
        WHERE channel = 'vk-well'",
    );
    let status = run(&hosted, "status --output json").stdout;
    assert!(status.contains("\"NotReceiving\""), "{status}");
    note(None);
    assert!(channels(&hosted)[1]["not_receiving"].is_null());
}

#[test]
fn the_provider_is_asked_about_the_account_unless_there_is_none() {
    let hosted = hosted();
    // Without the secrets nobody can be asked.
    let told = run(&hosted, "channel status vk-well");
    assert!(told.stdout.contains("  account: unknown, not asked, `token`: "), "{}", told.stdout);
    for (well, account) in [("vk-well", "in-order"), ("vk-expired", "refused")] {
        let endpoint = hosted.rehearsal.endpoint("vk-user".parse().unwrap()).unwrap();
        hosted.folder.write(
            &format!("{}.yaml", well.strip_prefix("vk-").unwrap()),
            &channel(well, "vk-user", "token: {env: ONE}", &format!("  endpoint: {endpoint}\n")),
        );
        assert_eq!(run(&hosted, "apply --auto-approve").code, 0);
        let token = nuncio::rehearsal::Rehearsal::secret(well, "token");
        let arguments = ["channel", "status", well, "--output", "json"];
        let told = Program::new(hosted.folder.root(), &arguments)
            .database(&hosted.database)
            .env("ONE", token.reveal())
            .run();
        let told: Value = serde_json::from_str(&told.stdout).unwrap();
        assert_eq!(told["channels"][0]["account"], account, "{told}");
    }
    let wrong = run(&hosted, "channel status vk-wel");
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.stderr.contains("there is no channel `vk-wel`"), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("did you mean `vk-well`?"), "{}", wrong.stderr);
}

#[test]
fn it_is_told_how_a_channel_hears_and_whether_it_can() {
    let cloud = |name: &str, proof: &str| {
        channel(name, "waba", &format!("token: {{env: T}}{proof}"), "  phoneNumberId: 1\n")
    };
    let (deaf, heard) = (cloud("deaf", ""), cloud("heard", ", appSecret: {env: S}"));
    let site = channel("site", "widget", "", "");
    let manifests = [("deaf.yaml", deaf), ("heard.yaml", heard), ("site.yaml", site)];
    let manifests = manifests.each_ref().map(|(name, text)| (*name, text.as_str()));
    let hosted = Hosted::with(&manifests, Behaviour::default());
    let told = run(&hosted, "channel status --offline").stdout;
    let hears = |line: &str| line.contains("hears") || line.ends_with(')');
    let told: Vec<&str> = told.lines().filter(|line| hears(line)).map(str::trim).collect();
    assert_eq!(
        told,
        [
            "deaf (waba)",
            "! hears nobody: without its `appSecret` every webhook is refused",
            "heard (waba)",
            "hears by webhooks",
            "site (widget)",
        ]
    );
}
