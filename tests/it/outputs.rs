//! What pipelines and people read: one JSON value whatever happens, codes that are explained, help.

use std::{fs, net::TcpListener, path::Path, process::Command, time::Duration};

use nuncio::domain::kind::ChannelKind;
use serde_json::Value;

use crate::support::{Ended, Folder, Program, Providers, TestDatabase, channel, vk_task};

fn run(folder: &Folder, arguments: &[&str]) -> Ended {
    Program::new(folder.root(), arguments).run()
}

/// A folder with an error and a warning in it.
fn faulty() -> Folder {
    let folder = Folder::with_team();
    let task = vk_task("one", "vk", "[1]", "  aii: sales");
    folder.write("one.yaml", &task.replace("Channel: 20", "Channel: 50"));
    folder
}

/// The whole of standard output, as the one JSON value that it has to be.
#[track_caller]
fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| {
        panic!("{error}: {:?}, and on stderr {:?}", ended.stdout, ended.stderr)
    })
}

#[test]
fn standard_output_is_one_json_value_whatever_goes_wrong() {
    let folder = faulty();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = format!("postgres://127.0.0.1:{port}/x");
    // The arguments, the exit code, and the error's code.
    let cases: [(&[&str], i32, &str); 8] = [
        (&["validate", "--output", "json", "nowhere"], 1, "tasks-folder"),
        (&["validate", "--output=json", "--tasks", "nowhere"], 1, "tasks-folder"),
        (&["validate", "--output", "json", "--no-such-flag"], 64, "usage"),
        (&["nonsense", "--output", "json"], 64, "usage"),
        (&["--output", "json"], 64, "usage"),
        (&["start", "Bad Name", "--output", "json"], 64, "usage"),
        (&["doctor", "--output", "json", "--no-such-flag"], 64, "usage"),
        (&["schema", "nonsense", "--output=json"], 64, "usage"),
    ];
    for (arguments, code, error) in cases {
        let ended = Program::new(folder.root(), arguments).env("NUNCIO_DATABASE_URL", &away).run();
        assert_eq!(ended.code, code, "{arguments:?}: {}", ended.stderr);
        let value = json(&ended);
        assert!(value["format_version"].as_str().unwrap().starts_with("1."), "{arguments:?}");
        assert_eq!(value["error"]["code"], error, "{arguments:?}: {value}");
        assert_eq!(value["error"]["exit_code"], code, "{arguments:?}");
        assert!(value["error"]["hint"].is_string(), "{arguments:?}: {value}");
        assert!(ended.stderr.contains("error"), "{arguments:?}: people read it as well");
    }
}

#[test]
fn validate_tells_its_findings_in_every_form() {
    let folder = faulty();
    let shown = |form: &str| {
        let ended = run(&folder, &["validate", "--output", form]);
        assert_eq!(ended.code, 1, "{form}: {}", ended.stderr);
        assert!(ended.stdout.contains("unknown-field"), "{form}: {}", ended.stdout);
        let again = run(&folder, &["validate", "--output", form]);
        assert_eq!(ended.stdout, again.stdout, "{form}: two runs differ");
        ended
    };
    for form in ["concise", "markdown", "github", "junit"] {
        assert!(shown(form).stdout.contains("tasks.d/one.yaml"), "{form}");
    }
    let value = json(&shown("json"));
    assert_eq!((&value["valid"], &value["counts"]["errors"]), (&false.into(), &1.into()));
    assert_eq!(value["findings"][0]["file"], "tasks.d/one.yaml");
    let place = |value: &Value| (value["line"].as_u64(), value["column"].as_u64());
    assert_eq!(place(&value["findings"][0]), (Some(11), Some(3)), "{value}");
    assert_eq!(json(&shown("gitlab"))[0]["location"]["path"], "tasks.d/one.yaml");
    let sarif = json(&shown("sarif"));
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 11);

    let sound = Folder::with_team();
    for form in ["json", "sarif", "gitlab"] {
        let ended = run(&sound, &["validate", "--output", form]);
        assert_eq!(ended.code, 0);
        json(&ended);
    }
}

#[test]
fn a_file_is_reported_alone_although_its_folder_is_read() {
    let folder = faulty();
    let of = |form: &str| run(&folder, &["validate", "tasks.d/team.yaml", "--output", form]);
    let value = json(&of("json"));
    assert_eq!(value["counts"]["files"], 1);
    assert_eq!((&value["counts"]["documents"], &value["counts"]["tasks"]), (&2.into(), &0.into()));
    assert!(!of("junit").stdout.contains("one.yaml"));
    folder.write("people.csv", "address,name\nabc,Anna\n");
    let task = vk_task("two", "vk", "{file: people.csv}", "");
    folder.write("two.yaml", &task);
    let of_task = run(&folder, &["validate", "tasks.d/two.yaml", "--output", "concise"]);
    assert!(of_task.stdout.starts_with("tasks.d/people.csv:2:1: bad-address"), "{of_task:?}");
    assert_eq!(of_task.stdout.lines().count(), 1, "{of_task:?}");
    let valid = "valid: 2 documents; 0 errors, 0 warnings in 1 file\n";
    assert_eq!(of("human").stderr, valid);
    // A bare name lies where one stands.
    let bare = Program::new(&folder.tasks(), &["validate", "team.yaml"]).run();
    assert_eq!(bare.stderr, valid);
}

#[test]
fn paths_are_those_of_the_checkout_also_where_the_folder_is_named_absolutely() {
    let folder = faulty();
    let root = fs::canonicalize(folder.root()).unwrap();
    let tasks = root.join("tasks.d").to_string_lossy().into_owned();
    let arguments = ["validate", "--output", "github", "--tasks", &tasks];
    let ended = Program::new(&root, &arguments).run();
    assert!(ended.stdout.starts_with("::error file=tasks.d/one.yaml,line=11,"), "{}", ended.stdout);
}

#[test]
fn people_are_told_once_where_more_is_told() {
    let folder = faulty();
    folder
        .write("two.yaml", "kind: Tsak\napiVersion: nuncio/v1\nmetadata: {name: two}\nspec: {}\n");
    let database = TestDatabase::new();
    for command in ["validate", "plan"] {
        let ended = Program::new(folder.root(), &[command]).database(&database).run();
        let told: Vec<&str> =
            ended.stderr.lines().filter(|line| line.starts_with("For more: ")).collect();
        assert_eq!(
            told,
            ["For more: nuncio explain capped-by-channel, unknown-field, unknown-kind"],
            "{command}"
        );
        // What it says can be done as it is written.
        let words: Vec<&str> = told[0].split(' ').skip(3).collect();
        let explained = run(&folder, &words);
        assert_eq!(explained.code, 0, "{}", explained.stderr);
        assert!(explained.stdout.contains("unknown-kind\n\n"), "{}", explained.stdout);
    }
    let quiet = run(&folder, &["validate", "--quiet"]);
    assert!(!quiet.stderr.contains("For more"), "{}", quiet.stderr);
}

#[test]
fn every_code_is_explained_and_an_unknown_one_is_guessed() {
    let folder = Folder::new();
    let list = run(&folder, &["explain"]);
    assert_eq!(list.code, 0);
    for line in list.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
        let code = line.split(' ').next().unwrap();
        assert_eq!(run(&folder, &["explain", code]).code, 0, "{code}");
    }
    assert_eq!(run(&folder, &["explain", "3"]).stdout, run(&folder, &["explain", "exit-3"]).stdout);
    let unknown = run(&folder, &["explain", "unknown-feild"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.stderr.contains("did you mean `unknown-field`?"), "{}", unknown.stderr);
}

#[test]
fn the_printed_schemas_are_the_committed_ones() {
    let folder = Folder::new();
    let committed = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(name);
        fs::read_to_string(path).unwrap()
    };
    assert_eq!(run(&folder, &["schema"]).stdout, committed("manifest.schema.json"));
    assert_eq!(run(&folder, &["schema", "findings"]).stdout, committed("findings.schema.json"));
}

#[test]
fn a_shell_completes_commands_and_the_forms_of_an_output() {
    let folder = Folder::new();
    let script = run(&folder, &["completions", "bash"]).stdout;
    let completed = |words: &str| {
        let last = words.split(' ').next_back().unwrap();
        let before = words.split(' ').nth_back(1).unwrap();
        let line = format!(
            "{script}\nCOMP_WORDS=({words}); COMP_CWORD=$(({} - 1)); \
             _nuncio nuncio '{last}' '{before}'; echo \"${{COMPREPLY[@]}}\"",
            words.split(' ').count()
        );
        let output = Command::new("bash").args(["-c", &line]).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(completed("nuncio va"), "validate");
    assert_eq!(completed("nuncio validate --output sa"), "sarif");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&folder, &["completions", shell]).stdout;
        assert!(script.contains("validate"), "{shell}");
        assert!(!script.contains("supervise"), "{shell} completes what is our own");
    }
}

#[test]
fn the_manual_has_a_page_a_command() {
    let folder = Folder::new();
    let ended = run(&folder, &["completions", "man", "--into", "man/man1"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let page = |name: &str| fs::read_to_string(folder.root().join("man/man1").join(name));
    let help = run(&folder, &["--help"]).stdout;
    let commands = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    for line in commands.lines() {
        let command = line.split_whitespace().next().unwrap();
        if command != "help" {
            assert!(page(&format!("nuncio-{command}.1")).unwrap().contains(".TH"), "{command}");
        }
    }
    assert_eq!(page("nuncio.1").unwrap(), run(&folder, &["completions", "man"]).stdout);
    page("nuncio-db-supervise.1").unwrap_err();
    assert!(page("nuncio-db-status.1").is_ok());
    fs::write(folder.root().join("file"), "").unwrap();
    let ended = run(&folder, &["completions", "man", "--into", "file"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("cannot be written into `file`"), "{}", ended.stderr);
}

#[test]
fn online_asks_the_providers_and_sends_nothing() {
    let folder = Folder::with_team();
    let providers = Providers::start(Duration::ZERO, true);
    let kinds = [
        ("vk-user", ChannelKind::VkUser, "token", "", ""),
        ("waba", ChannelKind::Waba, "token", ", appSecret: {env: S}", "  phoneNumberId: 1\n"),
        (
            "whatsapp-web",
            ChannelKind::WhatsappWeb,
            "apiKey",
            ", webhookKey: {env: S}",
            "  gateway: waha\n  session: default\n",
        ),
    ];
    for (kind, channel_kind, credential, proof, more) in kinds {
        for state in ["good", "banned", "expired", "missing"] {
            let name = format!("{kind}-{state}");
            let variable = name.replace('-', "_").to_uppercase();
            let more = format!("{more}  endpoint: {}\n", providers.endpoint(channel_kind));
            let credential = format!("{credential}: {{env: {variable}}}{proof}");
            folder.write(&format!("{name}.yaml"), &channel(&name, kind, &credential, &more));
        }
    }
    let mut program = Program::new(folder.root(), &["validate", "--online", "--output", "json"]);
    for (kind, _, credential, ..) in kinds {
        for state in ["good", "banned", "expired"] {
            let name = format!("{kind}-{state}");
            let variable = name.replace('-', "_").to_uppercase();
            program = program.env(&variable, Providers::secret(&name, credential));
        }
    }
    let ended = program.run();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let codes = |state: &str| -> Vec<&str> {
        let findings = told["findings"].as_array().unwrap();
        let about = findings.iter().filter(|found| found["file"].as_str().unwrap().contains(state));
        about.map(|found| found["code"].as_str().unwrap()).collect()
    };
    assert_eq!(codes("good"), Vec::<&str>::new(), "{}", ended.stdout);
    assert_eq!(codes("banned"), ["channel-refused"; 3], "{}", ended.stdout);
    assert_eq!(codes("expired"), ["channel-refused"; 3], "{}", ended.stdout);
    // With the channel of the team, whose provider nobody may call from here.
    assert_eq!(codes("missing"), ["not-examined"; 3], "{}", ended.stdout);
    assert!(providers.deliveries().is_empty());
}
