//! A folder of manifests that a test writes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// A temporary folder with a `tasks.d` inside.
pub(crate) struct Folder {
    root: TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join("tasks.d")).unwrap();
        Self { root }
    }

    /// A folder with the manager, the AI and a `vk-user` channel `vk` that every task needs.
    pub(crate) fn with_team() -> Self {
        let folder = Self::new();
        folder.write("team.yaml", TEAM);
        folder.write("vk.yaml", &channel("vk", "vk-user", "token: {env: VK_TOKEN}", ""));
        folder
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn tasks(&self) -> PathBuf {
        self.root.path().join("tasks.d")
    }

    /// Writes as editors do: beside it, then renamed into place.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.tasks().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let beside = path.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, path).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.tasks().join(name)).unwrap();
    }
}

pub(crate) const TEAM: &str = "
apiVersion: nuncio/v1
kind: Manager
metadata: {name: anna}
spec: {fullName: Anna Petrova, persona: Friendly.}
---
apiVersion: nuncio/v1
kind: Ai
metadata: {name: sales}
spec:
  model: test-model
  instructions: Sell.
  prices: {inputPerMillionTokens: 1, outputPerMillionTokens: 2}
  disclosure: I am a virtual assistant.
";

pub(crate) fn channel(name: &str, kind: &str, credentials: &str, more: &str) -> String {
    format!(
        "
apiVersion: nuncio/v1
kind: Channel
metadata: {{name: {name}}}
spec:
  kind: {kind}
  credentials: {{{credentials}}}
{more}"
    )
}

/// A task of VKontakte with everything in its usual place; `spec` are further lines of it.
pub(crate) fn vk_task(name: &str, channels: &str, audience: &str, spec: &str) -> String {
    format!(
        "apiVersion: nuncio/v1
kind: Task
metadata: {{name: {name}}}
spec:
  type: vkontakte
  format: incoming-and-outgoing
  channels: [{channels}]
  managers: [anna]
  ai: sales
  spendingLimitPerDialogue: 0.50
{spec}
  outgoing:
    workingHours: \"00:00-24:00\"
    dailyLimitPerChannel: 20
    pauseBetweenDialogues: 3s
    opening: {{text: Hello!}}
    targetAudience: {audience}
"
    )
}

/// A task that answers whoever writes.
pub(crate) fn incoming_task(name: &str, messenger: &str, channels: &str) -> String {
    format!(
        "apiVersion: nuncio/v1
kind: Task
metadata: {{name: {name}}}
spec:
  type: {messenger}
  format: incoming
  channels: [{channels}]
  managers: [anna]
  ai: sales
  spendingLimitPerDialogue: 0.50
  state: running
"
    )
}
