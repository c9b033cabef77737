//! A tour of bad input: one clear error each, the right exit code, nothing half-written.

use std::{
    fmt::Write as _,
    fs::{self, File},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use nuncio::store::StoreError;

use crate::support::{Ended, Folder, Program, TestDatabase, vk_task};

fn validate(folder: &Folder) -> Ended {
    Program::new(folder.root(), &["validate", "--output", "concise"]).run()
}

/// The one problem of a folder, by its code; the file's own line where it has one.
#[track_caller]
fn assert_one_problem(folder: &Folder, what: &str, place: &str, code: &str) {
    let ended = validate(folder);
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 1, "{what}: {lines:#?}");
    assert!(lines[0].starts_with(place) && lines[0].contains(code), "{what}: {lines:#?}");
}

#[test]
fn a_bad_file_is_one_problem_with_its_place() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (before, name) in "abcdefgh".chars().zip("bcdefghi".chars()) {
        let nine = vec![format!("*{before}"); 9].join(", ");
        writeln!(bomb, "{name}: &{name} [{nine}]").unwrap();
    }
    let task = vk_task("one", "vk", "[1]", "");
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("syntax", b"kind: [".to_vec(), "syntax"),
        ("not UTF-8", b"kind: Task\nname: \xff\xfe".to_vec(), "not-utf8"),
        ("an alias bomb", bomb.into_bytes(), "alias-limit"),
        ("too deep", format!("{}1{}", "[".repeat(200), "]".repeat(200)).into_bytes(), "too-deep"),
        (
            "a key twice",
            task.replace("  ai: sales", "  ai: sales\n  ai: sales").into_bytes(),
            "duplicate-key",
        ),
        (
            "an unknown key",
            task.replace("  ai: sales", "  ai: sales\n  manager: anna").into_bytes(),
            "unknown-field",
        ),
        ("an unknown reference", task.replace("[vk]", "[vkk]").into_bytes(), "unknown-reference"),
        (
            "hours that are none",
            task.replace("00:00-24:00", "09:00-09:00").into_bytes(),
            "bad-value",
        ),
        ("a pause below 3 s", task.replace("3s", "2s").into_bytes(), "bad-value"),
        (
            "a pause beyond all time",
            task.replace("3s", "99999999999999999999h").into_bytes(),
            "bad-value",
        ),
        ("a pause of two months", task.replace("3s", "1464h").into_bytes(), "bad-value"),
        ("a text with U+0000", task.replace("Hello!", "\"Good\\0day\"").into_bytes(), "syntax"),
        ("a limit of 0", task.replace("PerChannel: 20", "PerChannel: 0").into_bytes(), "bad-value"),
        (
            "a zone that is none",
            task.replace("    daily", "    timezone: Moscow\n    daily").into_bytes(),
            "bad-value",
        ),
        ("a bad address", task.replace("[1]", "[1, abc]").into_bytes(), "bad-address"),
    ];
    for (what, text, code) in cases {
        let folder = Folder::with_team();
        fs::write(folder.tasks().join("bad.yaml"), text).unwrap();
        assert_one_problem(&folder, what, "tasks.d/bad.yaml:", code);
    }
}

#[test]
fn a_huge_file_is_refused_by_its_length() {
    let folder = Folder::with_team();
    File::create(folder.tasks().join("huge.yaml")).unwrap().set_len(100 * 1024 * 1024).unwrap();
    assert_one_problem(&folder, "100 MB", "tasks.d/huge.yaml:1:1", "too-large");
}

#[test]
fn a_symlink_loop_is_one_problem() {
    let folder = Folder::with_team();
    symlink(folder.tasks(), folder.tasks().join("again")).unwrap();
    let ended = validate(&folder);
    assert_eq!(ended.code, 1, "{}", ended.stdout);
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
}

#[test]
fn two_documents_of_one_name_name_each_other() {
    let folder = Folder::with_team();
    folder.write("a.yaml", &vk_task("one", "vk", "[1]", ""));
    folder.write("b.yaml", &vk_task("one", "vk", "[1]", ""));
    let ended = validate(&folder);
    assert_eq!(ended.code, 1);
    assert!(
        ended.stdout.contains("tasks.d/b.yaml") && ended.stdout.contains("tasks.d/a.yaml"),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_missing_folder_is_an_error() {
    let folder = Folder::new();
    let database = TestDatabase::new();
    for command in ["validate", "plan", "apply"] {
        let ended =
            Program::new(folder.root(), &[command, "--tasks", "nowhere"]).database(&database).run();
        assert_eq!(ended.code, 1, "{command}");
        assert!(
            ended.stderr.contains("cannot read the tasks folder `nowhere`"),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
    }
}

#[test]
fn a_folder_that_may_not_be_read_is_an_error() {
    if rustix::process::getuid().is_root() {
        // Nothing is unreadable for root; an ordinary user's run shows it.
        return;
    }
    let folder = Folder::with_team();
    fs::set_permissions(folder.tasks(), fs::Permissions::from_mode(0o000)).unwrap();
    let ended = Program::new(folder.root(), &["validate"]).run();
    fs::set_permissions(folder.tasks(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
}

#[test]
fn what_is_in_the_way_of_a_database_that_answers_is_told() {
    let database = TestDatabase::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = database.connection().await;
        for (code, message, way_out) in [
            ("40P01", "cannot do it now", "was in the way"),
            ("57014", "cannot do it now", "took too long"),
            ("53100", "cannot do it now", "room on the disk"),
            ("53300", "cannot do it now", "max_connections"),
            ("25006", "cannot do it now", "standby"),
            ("57P01", "does not answer", "is the server running"),
        ] {
            let raise =
                format!("DO 'BEGIN RAISE EXCEPTION ''no'' USING ERRCODE = ''{code}''; END'");
            let raised = sqlx::raw_sql(sqlx::AssertSqlSafe(raise)).execute(&mut connection).await;
            let error = StoreError::from(raised.unwrap_err());
            assert!(error.to_string().contains(message), "{code}: {error}");
            assert!(error.hint().unwrap().contains(way_out), "{code}: {:?}", error.hint());
        }
    });
}

#[test]
fn a_database_that_cannot_be_used_is_one_error_with_the_way_out() {
    let folder = Folder::with_team();
    let database = TestDatabase::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let unknown = database.url().rsplit_once('/').unwrap().0.to_owned() + "/no_such_database";
    for (url, words) in [
        (format!("postgres://127.0.0.1:{port}/x"), "the database does not answer"),
        (unknown, "the database refuses the connection"),
        ("mysql://127.0.0.1/x".to_owned(), "is no address of a Postgres server"),
    ] {
        let ended = Program::new(folder.root(), &["plan"]).env("NUNCIO_DATABASE_URL", &url).run();
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
        assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
        assert!(ended.stdout.is_empty());
    }
}

#[test]
fn a_password_is_never_said() {
    let folder = Folder::with_team();
    let url = "postgres://user:hunter2@127.0.0.1:1/x";
    let ended = Program::new(folder.root(), &["plan"]).env("NUNCIO_DATABASE_URL", url).run();
    assert_eq!(ended.code, 1);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

#[test]
fn a_data_folder_that_cannot_be_used_is_one_error_with_the_way_out() {
    let folder = Folder::with_team();
    let file = folder.root().join("file");
    fs::write(&file, "").unwrap();
    for data in [file.join("below"), folder.root().join("x".repeat(120))] {
        let ended = Program::new(folder.root(), &["plan"]).env("NUNCIO_DATA", &data).run();
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        assert!(ended.stderr.contains("NUNCIO_DATA"), "{}", ended.stderr);
    }
}

#[test]
fn the_private_server_is_shared_and_leaves_with_its_last_user() {
    let folder = Folder::with_team();
    let data = tempfile::Builder::new().prefix("nuncio-data").tempdir().unwrap();
    // Root's server runs as another user, who has to pass.
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let run = |arguments: &[&str]| {
        Program::new(folder.root(), arguments).env("NUNCIO_DATA", data.path()).run()
    };
    let applied = run(&["apply", "--auto-approve"]);
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    let both: Vec<Ended> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..3).map(|_| scope.spawn(|| run(&["plan", "--detailed-exitcode"]))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    for ended in both {
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    let pid_file = data.path().join("postgres/postmaster.pid");
    crate::support::wait_until("the server leaves", std::time::Duration::from_secs(15), || {
        (!pid_file.exists(), ())
    });
}

#[test]
fn usage_errors_are_64_and_help_is_0() {
    let run = |arguments: &[&str]| Program::new(Path::new("/"), arguments).run().code;
    for arguments in
        [&["plan", "--no-such-flag"][..], &["nonsense"], &["start"], &["start", "Bad Name"], &[]]
    {
        assert_eq!(run(arguments), 64, "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["apply", "--help"]] {
        assert_eq!(run(arguments), 0, "{arguments:?}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let folder = Folder::with_team();
    let program = env!("CARGO_BIN_EXE_nuncio");
    let piped = format!("{program} schema | head -n 1");
    let output =
        Command::new("sh").args(["-c", &piped]).current_dir(folder.root()).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
