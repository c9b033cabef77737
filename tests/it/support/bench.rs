//! The program at work on a folder of its own.

use serde_json::Value;

use super::{Ended, Folder, Program, TestDatabase};

/// A folder with a team, and a database.
pub(crate) struct Bench {
    pub(crate) folder: Folder,
    pub(crate) database: TestDatabase,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: Folder::with_team(), database: TestDatabase::new() }
    }

    pub(crate) fn program(&self, arguments: &[&str]) -> Program {
        Program::new(self.folder.root(), arguments).database(&self.database)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.program(arguments).run()
    }

    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    #[track_caller]
    pub(crate) fn apply(&self) {
        self.ok(&["apply", "--auto-approve"]);
    }

    /// The plan as data; every output must be one JSON value.
    #[track_caller]
    pub(crate) fn plan(&self) -> Value {
        serde_json::from_str(&self.run(&["plan", "--output", "json"]).stdout).unwrap()
    }
}
