//! An audience of a million lines: loaded, planned again unchanged, with one line in a hundred gone, and with a
//! person forgotten.
//!
//! Runs the program as its users do, on a private durable Postgres in a temporary folder, and prints the
//! time of each step with the greatest memory of the process.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that meets an error ends"
)]

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const N: u64 = 1_000_000;

const TEAM: &str = "
apiVersion: nuncio/v1
kind: Manager
metadata: {name: anna}
spec: {fullName: Anna Petrova, persona: Friendly.}
---
apiVersion: nuncio/v1
kind: Ai
metadata: {name: sales}
spec:
  model: a-model
  instructions: Sell.
  prices: {inputPerMillionTokens: 1, outputPerMillionTokens: 2}
---
apiVersion: nuncio/v1
kind: Channel
metadata: {name: account}
spec: {kind: KIND, credentials: {CREDENTIAL: {env: TOKEN}}}
---
apiVersion: nuncio/v1
kind: Task
metadata: {name: million}
spec:
  type: TYPE
  format: incoming-and-outgoing
  channels: [account]
  managers: [anna]
  ai: sales
  spendingLimitPerDialogue: 1
  outgoing:
    workingHours: \"00:00-24:00\"
    dailyLimitPerChannel: 10
    pauseBetweenDialogues: 3s
    opening: {text: Hello!}
    targetAudience: {file: audience.txt}
";

fn main() {
    for (kind, credential, messenger, line) in [
        (
            "vk-user",
            "token",
            "vkontakte",
            (|n| (100_000_000 + n * 7).to_string()) as fn(u64) -> String,
        ),
        ("whatsapp-web", "apiKey", "whatsapp", |n| format!("+7916{n:07}")),
    ] {
        println!("{messenger}, {N} lines");
        let folder = tempfile::Builder::new().prefix("nuncio-bench").tempdir().unwrap();
        // Root's server runs as another user, who has to pass.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let tasks = folder.path().join("tasks.d");
        fs::create_dir(&tasks).unwrap();
        let manifest =
            TEAM.replace("KIND", kind).replace("CREDENTIAL", credential).replace("TYPE", messenger);
        fs::write(tasks.join("all.yaml"), manifest).unwrap();
        let write = |keep: fn(u64) -> bool| {
            let mut text = String::new();
            for n in (0..N).filter(|n| keep(*n)) {
                writeln!(text, "{}", line(n)).unwrap();
            }
            fs::write(tasks.join("audience.txt"), text).unwrap();
        };
        write(|_| true);
        // Starts and initialises the server outside the measurement.
        let empty = folder.path().join("empty.d");
        fs::create_dir(&empty).unwrap();
        run(folder.path(), &["plan", "--tasks", "empty.d"], None);
        run(folder.path(), &["apply", "--auto-approve"], Some("apply, all new"));
        run(folder.path(), &["plan"], Some("plan, nothing changed"));
        write(|n| n % 100 != 0);
        run(folder.path(), &["plan"], Some("plan, 1 % gone"));
        run(folder.path(), &["apply", "--auto-approve"], Some("apply, 1 % gone"));
        run(folder.path(), &["plan"], Some("plan, nothing changed"));
        // The last one is in pages that no vacuum has seen yet.
        for (n, shown) in [(N / 2 + 1, "forget, a person"), (N - 1, "forget, the last one")] {
            run(folder.path(), &["forget", &line(n), "--auto-approve"], Some(shown));
        }
    }
}

fn run(folder: &Path, arguments: &[&str], shown: Option<&str>) {
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_nuncio"))
        .args(arguments)
        .current_dir(folder)
        .env("NUNCIO_DATA", folder.join("data"))
        .env_remove("NUNCIO_DATABASE_URL")
        .env_remove("DATABASE_URL")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let memory = Path::new("/proc").join(child.id().to_string()).join("status");
    let mut peak_kib = 0;
    let status = loop {
        // The kernel keeps the peak itself; the last look before the end misses little of it.
        if let Ok(text) = fs::read_to_string(&memory)
            && let Some(line) = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))
            && let Some(kib) =
                line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok())
        {
            peak_kib = peak_kib.max(kib);
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        thread::sleep(Duration::from_millis(2));
    };
    assert!(status.success(), "{arguments:?}: {status}");
    if let Some(shown) = shown {
        let seconds = started.elapsed().as_secs_f64();
        println!("  {shown:<24} {seconds:>7.2} s  {:>5} MiB", peak_kib / 1024);
    }
}
