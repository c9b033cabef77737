//! `nuncio import`: from the database back to manifests that change nothing.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use crate::support::{Ended, Folder, Program, TEAM, TestDatabase, channel, vk_task};

fn run(folder: &Path, database: &TestDatabase, arguments: &[&str]) -> Ended {
    Program::new(folder, arguments).database(database).run()
}

#[track_caller]
fn run_well(folder: &Path, database: &TestDatabase, arguments: &[&str]) -> Ended {
    let ended = run(folder, database, arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {}{}", ended.stdout, ended.stderr);
    ended
}

#[track_caller]
fn must(folder: &Path, database: &TestDatabase, arguments: &[&str]) {
    drop(run_well(folder, database, arguments));
}

/// Every file below a folder, by its name.
fn files(folder: &Path) -> BTreeMap<String, String> {
    fn collect(folder: &Path, prefix: &str, into: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                collect(&path, &format!("{name}/"), into);
            } else {
                into.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut all = BTreeMap::new();
    collect(folder, "", &mut all);
    all
}

/// An import of everything, which leaves nothing to do and is laid out as `fmt` would.
#[track_caller]
fn assert_settled(folder: &Path, database: &TestDatabase, tasks: &str) {
    let plan = run_well(folder, database, &["plan", "--detailed-exitcode", "--tasks", tasks]);
    assert!(plan.stdout.contains("Nothing to do"), "{}", plan.stdout);
    let ended = run_well(folder, database, &["fmt", "--check", tasks]);
    assert_eq!(ended.stdout, "", "{}", ended.stderr);
}

const EVERYTHING: &str = "
apiVersion: nuncio/v1
kind: Ai
metadata: {name: careful}
spec:
  endpoint: https://ai.test/v1/
  model: \"on\"
  apiKey: {env: KEY}
  instructions: |
    Sell: the \"plan\".

      - calmly # really
  temperature: 0.40
  maxOutputTokens: 100
  prices: {inputPerMillionTokens: 0.000001, outputPerMillionTokens: 2}
  reminders:
    - {after: 90m 30s, text: \"Hello?\"}
    - {after: 48h, text: \" bye \\n\"}
---
apiVersion: nuncio/v1
kind: Integration
metadata: {name: crm}
spec:
  kind: webhook
  url: {file: /run/secrets/crm}
  credentials: {a.b: {env: A}, secret: {env: B}}
  events: [success]
---
apiVersion: nuncio/v1
kind: Integration
metadata: {name: chat}
spec:
  kind: telegram-notification
  chatId: -1001234567890
  credentials: {token: {env: T}}
---
apiVersion: nuncio/v1
kind: Channel
metadata: {name: wa}
spec: {kind: waba, phoneNumberId: 0106540352242922, credentials: {token: {env: W}}}
---
apiVersion: nuncio/v1
kind: Channel
metadata: {name: shop}
spec: {kind: widget, title: \"yes\", allowedOrigins: [\"https://shop.test\"]}
---
apiVersion: nuncio/v1
kind: Task
metadata: {name: resources, labels: {a: b}}
spec:
  title: \"no: 010\"
  type: whatsapp
  format: incoming-and-outgoing
  channels: [wa]
  managers: [anna]
  ai: careful
  integration: crm
  spendingLimitPerDialogue: 0.000001
  protect: {reason: \"it's mine\"}
  outgoing:
    workingHours: 23:00-08:00
    timezone: Europe/Moscow
    dailyLimitPerChannel: 5
    pauseBetweenDialogues: 25h
    opening:
      template: {name: hello, language: en, variables: [\"{{name}}\", \"a, b\"]}
    targetAudience: {file: people.csv}
---
apiVersion: nuncio/v1
kind: Task
metadata: {name: answers}
spec:
  type: web
  format: incoming
  channels: [shop]
  managers: [anna]
  ai: sales
  spendingLimitPerDialogue: 1
---
apiVersion: nuncio/v1
kind: SuppressionList
metadata: {name: few}
spec: {entries: [\"+7 912 345-67-89\", \"@Anna_P\", -5], tasks: [resources]}
---
apiVersion: nuncio/v1
kind: SuppressionList
metadata: {name: many}
spec: {file: many.txt}
";

fn everything() -> Folder {
    let folder = Folder::with_team();
    folder.write("everything.yaml", EVERYTHING);
    folder.write(
        "people.csv",
        "phone,note,name\n+7 912 345-67-89,\"a, \"\"b\"\"\nc\",Anna\n# nobody,,\n+4930901820,,'\n+49 30 901820,again,\n",
    );
    let many: String = (1..200).fold(String::new(), |mut text, n| {
        writeln!(text, "{n}00").unwrap();
        text
    });
    folder.write("many.txt", &format!("# all of them\n{many}"));
    folder.write("plain.yaml", &vk_task("plain", "vk", "{file: ids.txt}", "  state: paused"));
    folder.write("ids.txt", "# people\n1\n\n -2 \n3\n3\n");
    folder.write("inline.yaml", &vk_task("inline", "vk", "[7, -8]", ""));
    folder
}

#[test]
fn an_import_of_everything_leaves_nothing_to_do() {
    let database = TestDatabase::new();
    let folder = everything();
    must(folder.root(), &database, &["apply", "--auto-approve"]);
    must(folder.root(), &database, &["import", "--into", "imported"]);
    let imported = files(&folder.root().join("imported"));
    let names: Vec<&str> = imported.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "all-resources.yaml",
            "answers.yaml",
            "audiences/inline.txt",
            "audiences/plain.txt",
            "audiences/resources.csv",
            "inline.yaml",
            "plain.yaml",
            "resources.yaml",
            "suppressions/many.txt",
        ]
    );
    assert_eq!(
        imported["audiences/resources.csv"],
        "address,name,note\n+79123456789,Anna,\"a, \"\"b\"\"\nc\"\n+4930901820,',\n"
    );
    assert_eq!(imported["audiences/plain.txt"], "1\n-2\n3\n");
    assert!(!imported["all-resources.yaml"].contains("19900"));
    assert_settled(folder.root(), &database, "imported");
    // Files and places are noted anew, and then the old folder is the one that is settled by a look.
    must(folder.root(), &database, &["apply", "--auto-approve", "--tasks", "imported"]);
    assert_settled(folder.root(), &database, "imported");
    // Whoever was written to stays so, and nothing was altered on the way.
    assert_eq!(database.value("SELECT count(*) FROM contacts"), "7");
    assert_eq!(database.value("SELECT max(generation) FROM resources"), "1");
}

#[test]
fn the_samples_are_imported_into_an_empty_tasks_folder() {
    let database = TestDatabase::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    must(root, &database, &["apply", "--auto-approve"]);
    let folder = Folder::new();
    must(folder.root(), &database, &["import"]);
    let ended = run_well(folder.root(), &database, &["validate"]);
    assert!(ended.stderr.starts_with("valid: "), "{}", ended.stderr);
    assert_settled(folder.root(), &database, "tasks.d");
    let imported = files(&folder.tasks());
    let sample = fs::read_to_string(root.join("tasks.d/spring-renewals.yaml")).unwrap();
    let sample: Vec<&str> = sample.lines().filter(|line| !line.starts_with('#')).collect();
    let audience = "audiences/spring-renewals.csv";
    let sample = sample.join("\n").replace("audiences/spring.csv", audience) + "\n";
    assert_eq!(imported["spring-renewals.yaml"], sample);
    // Not a second time.
    let again = run(folder.root(), &database, &["import"]);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("`tasks.d` is not empty"), "{}", again.stderr);
}

#[test]
fn a_named_task_comes_with_what_it_refers_to() {
    let database = TestDatabase::new();
    let folder = everything();
    must(folder.root(), &database, &["apply", "--auto-approve"]);
    let ended = run_well(folder.root(), &database, &["import", "plain", "--into", "one"]);
    assert!(
        ended.stderr.ends_with("imported 1 task and 3 resources into `one`\n"),
        "{}",
        ended.stderr
    );
    let imported = files(&folder.root().join("one"));
    let names: Vec<&str> = imported.keys().map(String::as_str).collect();
    assert_eq!(names, ["audiences/plain.txt", "plain.yaml", "resources.yaml"]);
    must(folder.root(), &database, &["validate", "one"]);
    // A second one uses what is there.
    let ended = run_well(folder.root(), &database, &["import", "inline", "--into", "one"]);
    assert!(ended.stderr.contains("Channel `vk` is defined already"), "{}", ended.stderr);
    let ended = run_well(folder.root(), &database, &["validate", "one"]);
    assert!(ended.stderr.contains("valid: 5 documents; 0 errors"), "{}", ended.stderr);
    let ended = run(folder.root(), &database, &["import", "nobody", "--into", "two"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("there is no task `nobody`"), "{}", ended.stderr);
    assert!(!folder.root().join("two").exists());
}

#[test]
fn no_file_is_overwritten_and_nothing_half_written() {
    let database = TestDatabase::new();
    let folder = everything();
    must(folder.root(), &database, &["apply", "--auto-approve"]);
    for name in
        ["plain.yaml", "audiences/resources.txt", "suppressions/many.txt", "all-resources.yaml"]
    {
        let into = folder.root().join("there");
        fs::create_dir_all(into.join(name).parent().unwrap()).unwrap();
        fs::write(into.join(name), "# mine\n").unwrap();
        let before = files(&into);
        let ended = run(folder.root(), &database, &["import", "--into", "there"]);
        assert_eq!(ended.code, 1, "{name}");
        let said = format!("`there/{name}` exists already; nothing was written");
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);
        assert_eq!(files(&into), before, "{name}");
        fs::remove_dir_all(into).unwrap();
    }
    let ended = run(folder.root(), &database, &["import", "--into", "tasks.d"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("is defined already: tasks.d/"), "{}", ended.stderr);
}

#[test]
fn an_empty_database_gives_nothing() {
    let database = TestDatabase::new();
    let folder = Folder::new();
    let ended = run_well(folder.root(), &database, &["import"]);
    assert!(ended.stderr.contains("nothing to import"), "{}", ended.stderr);
    folder.write("team.yaml", TEAM);
    folder.write("vk.yaml", &channel("vk", "vk-user", "token: {env: VK_TOKEN}", ""));
    let ended = run(folder.root(), &database, &["import"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
}
