//! The rooms: who may name whom, and where IO lives.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A room, and the rooms that it may name.
const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("manifest", &["domain"]),
    ("plan", &["domain"]),
    ("store", &["domain"]),
    ("channels", &["domain"]),
    ("intelligence", &["domain"]),
    ("integrations", &["domain"]),
    ("reconcile", &["domain", "manifest", "plan", "store", "channels", "integrations"]),
    (
        "executor",
        &["domain", "manifest", "plan", "store", "channels", "intelligence", "integrations"],
    ),
    ("server", &["domain", "store", "channels"]),
    ("rehearsal", &["domain", "manifest", "plan", "store", "channels"]),
];

/// Rooms of the top floor: they may name everything.
const TOP: &[&str] = &[
    "cli",
    "service",
    "hosting",
    "connectors",
    "vaults",
    "config",
    "clock",
    "telemetry",
    "main",
    "lib",
];

/// Crates that mean IO, and the rooms that may use them.
const IO_CRATES: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("reqwest", &["channels", "intelligence", "integrations"]),
    ("notify", &["reconcile"]),
    ("axum", &["rehearsal", "server"]),
    ("grammers_mtsender", &["channels"]),
    ("hyper", &["rehearsal", "server"]),
    ("clap", &["cli", "telemetry"]),
];

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn every_room_names_only_rooms_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 50, "the sources were not found");
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let room = inside.split(['/', '.']).next().unwrap().to_owned();
        let allowed = ROOMS.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
        assert!(
            allowed.is_some() || TOP.contains(&room.as_str()),
            "`{room}` has no place in ROOMS"
        );
        let text = fs::read_to_string(&file).unwrap();
        // Tests of a room may use what they need.
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        if inside.contains("tests") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap();
            let place = || format!("src/{inside}:{}: {}", number + 1, line.trim());
            for (name, _) in ROOMS {
                let named = code.contains(&format!("crate::{name}"))
                    || (code.starts_with("    ")
                        && code.trim_start().starts_with(&format!("{name}::"))
                        && text.contains("use crate::{"));
                if named && *name != room && allowed.is_some_and(|allowed| !allowed.contains(name))
                {
                    wrong.push(place());
                }
            }
            for top in TOP {
                if code.contains(&format!("crate::{top}")) && allowed.is_some() {
                    wrong.push(place());
                }
            }
            for (io, rooms) in IO_CRATES {
                let named =
                    code.contains(&format!("{io}::")) && !code.contains(&format!("::{io}::"));
                if named && !rooms.contains(&room.as_str()) {
                    wrong.push(place());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "rooms that name what they may not:\n{}", wrong.join("\n"));
}

#[test]
fn no_source_file_is_forgotten() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = fs::read_to_string(tests.join("main.rs")).unwrap();
    for entry in fs::read_dir(tests).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy();
        // A script stands beside the test that runs it.
        if name.starts_with('.') || path.extension().is_some_and(|ending| ending == "mjs") {
            continue;
        }
        assert!(name == "main" || main.contains(&format!("mod {name};")), "`{name}` is not run");
    }
}
