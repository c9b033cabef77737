//! `doctor`: what it finds, what it leaves alone, and what it never says.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    process::Command,
};

use serde_json::Value;

use crate::support::{Ended, Folder, Program, TestDatabase, channel, vk_task};

const SCHEMA_LINE: &str = "# yaml-language-server: $schema=manifest.schema.json\n";

/// A folder in which nothing is wrong, as long as `VK_TOKEN` is set.
fn healthy() -> Folder {
    let folder = Folder::with_team();
    let task = vk_task("one", "vk", "[1]", "");
    folder
        .write("one.yaml", &task.replace("dailyLimit", "timezone: Europe/Moscow\n    dailyLimit"));
    fs::write(folder.tasks().join("manifest.schema.json"), "{}").unwrap();
    for entry in fs::read_dir(folder.tasks()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "json") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{SCHEMA_LINE}{text}")).unwrap();
    }
    folder
}

fn doctor(folder: &Folder, url: &str, more: &[&str]) -> Ended {
    let arguments = [&["doctor"], more].concat();
    let program = Program::new(folder.root(), &arguments).env("LANG", "C.UTF-8");
    program.env("NUNCIO_DATABASE_URL", url).env("VK_TOKEN", "s3cr3t").run()
}

/// The verdict and the message of each check that was not fine.
#[track_caller]
fn complaints(ended: &Ended) -> BTreeMap<String, (String, String)> {
    let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(!ended.stdout.contains("s3cr3t"), "{}", ended.stdout);
    let checks = answer["checks"].as_array().unwrap();
    let failed = checks.iter().any(|check| check["verdict"] == "fail");
    assert_eq!(answer["healthy"], !failed);
    assert_eq!(ended.code, i32::from(failed), "{}", ended.stderr);
    let text = |check: &Value, field: &str| check[field].as_str().unwrap().to_owned();
    let wrong = checks.iter().filter(|check| check["verdict"] != "ok");
    wrong
        .map(|check| {
            assert!(!text(check, "remedy").is_empty(), "{check}");
            (text(check, "check"), (text(check, "verdict"), text(check, "message")))
        })
        .collect()
}

#[test]
fn where_all_is_well_every_line_says_so() {
    let (folder, database) = (healthy(), TestDatabase::new());
    let ended = doctor(&folder, &database.url(), &[]);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.lines().all(|line| line.starts_with("ok    ")), "{}", ended.stdout);
    for part in ["folder", "manifests", "credentials", "PostgreSQL", "migrations", "rights"] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    assert!(ended.stdout.contains("the database knows Europe/Moscow"), "{}", ended.stdout);
    assert!(complaints(&doctor(&folder, &database.url(), &["--output", "json"])).is_empty());
}

#[test]
fn a_database_that_is_away_hides_nothing_else() {
    let folder = healthy();
    folder.write("broken.yaml", "kind: [");
    folder.write("vk.yaml", &channel("vk", "vk-user", "token: {env: NOT_SET}", ""));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://user:s3cr3t@127.0.0.1:{port}/x");
    let ended = doctor(&folder, &url, &["--output", "json"]);
    let found = complaints(&ended);
    let verdicts: Vec<(&str, &str)> =
        found.iter().map(|(check, (verdict, _))| (check.as_str(), verdict.as_str())).collect();
    let fail = "fail";
    assert_eq!(
        verdicts,
        [("credentials", fail), ("database", fail), ("editor", "warn"), ("manifests", fail)]
    );
    assert!(found["database"].1.contains("does not answer"), "{found:?}");
    assert!(found["credentials"].1.contains("Channel `vk`: `token`"), "{found:?}");
    assert!(found["credentials"].1.contains("`NOT_SET` is not set"), "{found:?}");

    let nowhere = doctor(&folder, &url, &["--tasks", "nowhere"]);
    assert_eq!(nowhere.code, 1);
    assert!(nowhere.stdout.contains("fail  folder: cannot read"), "{}", nowhere.stdout);
    assert!(nowhere.stdout.contains("fail  database: "), "{}", nowhere.stdout);
}

#[test]
fn a_secret_that_others_may_read_is_a_warning() {
    let (folder, database) = (healthy(), TestDatabase::new());
    let secret = folder.root().join("token");
    fs::write(&secret, "s3cr3t\n").unwrap();
    let credential = format!("token: {{file: {}}}", secret.display());
    let text = SCHEMA_LINE.to_owned() + &channel("vk", "vk-user", &credential, "");
    folder.write("vk.yaml", &text);
    let look = |mode: u32| {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        complaints(&doctor(&folder, &database.url(), &["--output", "json"]))
    };
    assert!(look(0o640).is_empty());
    let found = look(0o644);
    assert_eq!(found["credentials"].0, "warn");
    fs::write(&secret, "").unwrap();
    assert_eq!(look(0o600)["credentials"].0, "fail");
}

#[test]
fn of_a_thousand_missing_secrets_fifty_are_told() {
    let (folder, database) = (healthy(), TestDatabase::new());
    let one = |n: usize| {
        channel(&format!("vk-{n}"), "vk-user", &format!("token: {{env: GONE_{n}}}"), "") + "---\n"
    };
    let many: String = (0..1000).map(one).collect();
    folder.write("many.yaml", &(SCHEMA_LINE.to_owned() + &many));
    let ended = doctor(&folder, &database.url(), &[]);
    assert_eq!(ended.code, 1);
    assert_eq!(ended.stdout.matches("fail  credentials: Channel").count(), 50);
    assert!(ended.stdout.contains("fail  credentials: … and 950 more"), "{}", ended.stdout);
}

#[test]
fn a_database_is_looked_at_and_left_as_it_is() {
    let folder = healthy();
    let read_only = "DO $$ BEGIN EXECUTE format(
        'ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$";
    let newer = "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1";
    // What is done to a database, and what is found then.
    let cases = [
        ("DELETE FROM _sqlx_migrations WHERE version = 5", Some(("migrations", "warn"))),
        (newer, Some(("migrations", "fail"))),
        ("DO $$ BEGIN DROP SCHEMA public CASCADE; CREATE SCHEMA public; END $$", None),
        (read_only, Some(("rights", "fail"))),
    ];
    for (statement, wanted) in cases {
        let database = TestDatabase::new();
        database.run(statement);
        let state = "SELECT to_regclass('_sqlx_migrations') IS NULL, count(*) FROM pg_class";
        let state = format!("SELECT row(state.*) FROM ({state}) AS state");
        let before = database.value(&state);
        let found = complaints(&doctor(&folder, &database.url(), &["--output", "json"]));
        let verdicts: Vec<(&str, &str)> =
            found.iter().map(|(check, (verdict, _))| (check.as_str(), verdict.as_str())).collect();
        assert_eq!(verdicts, Vec::from_iter(wanted), "{statement}");
        assert_eq!(database.value(&state), before, "{statement}");
    }
}

#[test]
fn a_private_server_is_not_made_by_a_look() {
    let folder = healthy();
    // Root's server runs as another user, who has to pass.
    fs::set_permissions(folder.root(), fs::Permissions::from_mode(0o755)).unwrap();
    let data = folder.root().join("data");
    let program = Program::new(folder.root(), &["doctor"]).env("NUNCIO_DATA", &data);
    let ended = program.env("VK_TOKEN", "x").run();
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    assert!(ended.stdout.contains("a private server will be made in"), "{}", ended.stdout);
    assert!(!data.exists());
}

/// A file system of its own in memory; gone with the value.
struct Disk {
    root: tempfile::TempDir,
}

impl Disk {
    /// `None`, and a word on stderr, where one may not be mounted.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn mounted() -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=160m,mode=0755", "tmpfs"];
        let mounted = Command::new("mount").args(mount).arg(root.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { root });
        }
        eprintln!("skipped: no file system of its own can be mounted");
        None
    }

    fn fill(&self) {
        let mut filling = File::create(self.root.path().join("filling")).unwrap();
        let part = vec![7; 1 << 16];
        while filling.write_all(&part).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.root.path()).output());
    }
}

#[test]
fn a_full_disk_is_told_by_whoever_is_asked() {
    let Some(disk) = Disk::mounted() else { return };
    let folder = healthy();
    let run = |arguments: &[&str]| {
        let program = Program::new(folder.root(), arguments).env("LANG", "C.UTF-8");
        program.env("NUNCIO_DATA", disk.root.path().join("data")).env("VK_TOKEN", "x").run()
    };
    let applied = run(&["apply", "--auto-approve"]);
    assert_eq!(applied.code, 0, "{applied:?}");
    // As somebody who uses the server, which would end soon otherwise, and could not start again.
    let users = File::open(disk.root.path().join("data/users.lock")).unwrap();
    users.lock_shared().unwrap();
    disk.fill();
    // A server that has no room for its own small files refuses every connection; another asks for room and has none.
    let refuses = "the private server runs, and refuses connections: ";
    let full = "! The database has no room to write: ";
    let status = run(&["status"]);
    let all = format!("{}{}", status.stdout, status.stderr).replace("\n  ", " ");
    assert!(all.contains(full) || all.contains(refuses), "{all}");
    let doctor = run(&["doctor"]);
    assert_eq!(doctor.code, 1, "{doctor:?}");
    assert!(doctor.stdout.contains("fail  room") || doctor.stdout.contains(refuses), "{doctor:?}");
    fs::remove_file(disk.root.path().join("filling")).unwrap();
    let status = run(&["status"]);
    assert!(status.code == 0 && !status.stdout.contains(full), "{status:?}");
}
