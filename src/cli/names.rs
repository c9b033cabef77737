//! Names that arguments give: one that nothing has is an error, and not an empty answer.

use super::failure::NotFound;
use crate::{
    domain::{
        id::{ChannelName, TaskName},
        subject::Subject,
    },
    manifest::nearest,
    store::{Store, StoreError},
};

/// A task that is there, or was.
pub(super) async fn expect_task(store: &Store, name: &TaskName) -> anyhow::Result<()> {
    let there = store.list_task_names().await?;
    anyhow::ensure!(there.contains(name), NotFound::task(name, &there));
    Ok(())
}

/// A channel that is there, or has dialogues.
pub(super) async fn expect_channel(store: &Store, name: &ChannelName) -> anyhow::Result<()> {
    let there = store.list_channel_names().await?;
    anyhow::ensure!(there.contains(name), NotFound::channel(name, &there));
    Ok(())
}

/// A person with whom there is a dialogue, by any of these addresses.
pub(super) async fn expect_person(store: &Store, addresses: &[String]) -> anyhow::Result<()> {
    let hint = "write the address whole, as `nuncio dialogue show` has it on a terminal; a narrow list cuts it";
    let there = store.has_dialogue_with(addresses).await?;
    anyhow::ensure!(there, NotFound::new("dialogue with this person", hint));
    Ok(())
}

/// Of a subject that no revision changed.
pub(super) async fn no_history(store: &Store, of: &Subject) -> Result<NotFound, StoreError> {
    let written = |subject: &Subject| match subject {
        Subject::Task(name) => name.to_string(),
        Subject::Resource(key) => format!("{}/{}", key.kind.as_str(), key.name),
    };
    let there = store.list_subjects().await?;
    // The kind may have been left out, or be another.
    let namesake = there.iter().find(|subject| subject.name() == of.name()).map(written);
    let known: Vec<String> = there.iter().map(written).collect();
    let near = nearest(&written(of), known.iter().map(String::as_str)).map(str::to_owned);
    let hint = match namesake.or(near) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`nuncio history` lists all of them".to_owned(),
    };
    Ok(NotFound::new(format!("revision that changed {of}"), hint))
}
