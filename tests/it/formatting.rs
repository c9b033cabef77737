//! `nuncio fmt`: one layout, nothing lost, nothing half-written.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use crate::support::{Ended, Folder, Program};

const UNTIDY: &str = "# yaml-language-server: $schema=x\nkind:   Manager # who\nspec:\n    persona: 'brief'\n\
    \x20   # the name\n    fullName: Anna\n\n\n\napiVersion: nuncio/v1\nmetadata: { name: anna }\n# end\n";

const TIDY: &str = "# yaml-language-server: $schema=x\napiVersion: nuncio/v1\nkind: Manager # who\n\
    metadata: {name: anna}\nspec:\n  # the name\n  fullName: Anna\n  persona: \"brief\"\n# end\n";

fn fmt(folder: &Folder, arguments: &[&str]) -> Ended {
    Program::new(folder.root(), &[&["fmt"], arguments].concat()).run()
}

fn read(folder: &Folder, name: &str) -> String {
    fs::read_to_string(folder.tasks().join(name)).unwrap()
}

#[test]
fn a_folder_is_formatted_and_a_second_time_unchanged() {
    let folder = Folder::new();
    folder.write("deep/a.yaml", UNTIDY);
    folder.write("b.yaml", &TIDY.replace("anna", "boris"));
    folder.write("_draft.yaml", UNTIDY);
    let ended = fmt(&folder, &[]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.stderr, "tasks.d/deep/a.yaml\n1 of 2 files changed\n");
    assert_eq!(read(&folder, "deep/a.yaml"), TIDY);
    assert_eq!(read(&folder, "_draft.yaml"), UNTIDY);
    let ended = fmt(&folder, &[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, "0 of 2 files changed\n"));
}

#[test]
fn check_and_diff_write_nothing() {
    let folder = Folder::new();
    folder.write("a.yaml", UNTIDY);
    let ended = fmt(&folder, &["--check"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, "tasks.d/a.yaml\n"));
    let ended = fmt(&folder, &["--diff"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let head = "--- a/tasks.d/a.yaml\n+++ b/tasks.d/a.yaml\n@@ ";
    assert!(ended.stdout.starts_with(head), "{}", ended.stdout);
    assert!(ended.stdout.contains("\n-kind:   Manager # who\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("\n+  persona: \"brief\"\n"), "{}", ended.stdout);
    assert_eq!(read(&folder, "a.yaml"), UNTIDY);
    fs::write(folder.tasks().join("a.yaml"), TIDY).unwrap();
    assert_eq!(fmt(&folder, &["--check"]).code, 0);
}

#[test]
fn what_cannot_be_formatted_is_named_and_the_rest_is_done() {
    let folder = Folder::new();
    let keeps = "apiVersion: nuncio/v1\nkind:   Manager\nmetadata: {name: c}\nspec:\n  fullName: x\n  persona: |+\n    a\n\n";
    folder.write("a.yaml", UNTIDY);
    folder.write("b.yaml", "kind: 'Task\n");
    folder.write("c.yaml", keeps);
    folder.write("d.yaml", "a: 1\na: 2\n");
    fs::write(folder.tasks().join("e.yaml"), b"a: \xff\n").unwrap();
    let ended = fmt(&folder, &[]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert_eq!(read(&folder, "a.yaml"), TIDY);
    assert_eq!(read(&folder, "b.yaml"), "kind: 'Task\n");
    assert_eq!(read(&folder, "c.yaml"), keeps);
    for said in [
        "error[syntax]",
        "tasks.d/b.yaml:1:",
        "tasks.d/c.yaml: it cannot be laid out",
        "error[duplicate-key]",
        "`tasks.d/e.yaml` is not UTF-8",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    let ended = fmt(&folder, &["nowhere"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("cannot read `nowhere`"), "{}", ended.stderr);
    let ended = fmt(&folder, &["--tasks", "nowhere"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("cannot read the tasks folder `nowhere`"), "{}", ended.stderr);
}

#[test]
fn standard_input_becomes_standard_output() {
    let folder = Folder::new();
    let path = folder.root().join("input");
    fs::write(&path, UNTIDY).unwrap();
    let ended = Program::new(folder.root(), &["fmt", "-"]).stdin(&path).run();
    assert_eq!((ended.code, ended.stdout.as_str()), (0, TIDY));
    fs::write(&path, "").unwrap();
    let ended = Program::new(folder.root(), &["fmt", "-"]).stdin(&path).run();
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));
}

#[test]
fn a_link_stays_a_link_and_permissions_stay() {
    let folder = Folder::new();
    folder.write("_data/a.yaml", UNTIDY);
    let real = folder.tasks().join("_data/a.yaml");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("_data/a.yaml", folder.tasks().join("a.yaml")).unwrap();
    symlink("_data/a.yaml", folder.tasks().join("again.yaml")).unwrap();
    let ended = fmt(&folder, &[]);
    assert_eq!((ended.code, ended.stderr.lines().count()), (0, 2), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&real).unwrap(), TIDY);
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(folder.tasks().join("a.yaml")).unwrap().is_symlink());
    let left: Vec<_> = fs::read_dir(folder.tasks().join("_data")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn the_samples_are_formatted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ended = Program::new(root, &["fmt", "--check", "tasks.d", "tests/manifests/valid"]).run();
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{}", ended.stderr);
}
