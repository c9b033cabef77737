//! Which task a person's message belongs to, where several write to them through one channel.

use nuncio::{
    domain::{
        address::Address,
        attempt::Outcome,
        dialogue::{Delivery, Received},
        id::{ChannelName, DialogueId},
    },
    store::{Finished, Parcel, Store},
};
use tokio::runtime::Builder;

use super::{anna_says, executor};
use crate::support::{Folder, Program, TestDatabase, vk_task};

async fn writes(store: &Store, text: &str) {
    let channel: ChannelName = "vk".parse().unwrap();
    let what = Delivery::Message { id: text.to_owned(), text: text.to_owned() };
    let peer = Address::from_stored("1".to_owned());
    let received = [Received::of(peer, None, what)];
    let parcel = Parcel { channel: &channel, received: &received, raw: None, cursor: None };
    assert_eq!(store.receive(&parcel).await.unwrap().fresh, 1);
}

#[test]
fn an_answer_to_an_opening_belongs_to_the_task_that_wrote_it() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    let apply = |tasks: &[&str]| {
        for name in tasks {
            let task = vk_task(name, "vk", "[1]", "  state: running");
            folder.write(&format!("{name}.yaml"), &task);
        }
        let apply = Program::new(folder.root(), &["apply", "--auto-approve"]).database(&database);
        assert_eq!(apply.run().code, 0);
        database.run("UPDATE tasks SET pause_ms = 0; UPDATE lanes SET last_pause_ms = 0");
    };
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = runtime.block_on(database.store());
    // Each task opens, the person answers; and then answers what the first one said last.
    for (tasks, text) in [(&["spring"][..], "to spring"), (&["spring", "autumn"], "to autumn")] {
        apply(tasks);
        runtime.block_on(async {
            let (id, _presence) = executor(&store).await;
            let permits = store.grant_permits(id).await.unwrap();
            assert_eq!(permits.len(), 1);
            let permit = &permits[0];
            let finished = Finished {
                attempt: permit.attempt,
                channel: permit.channel.clone(),
                fence: permit.fence,
                outcome: Outcome::sent(Some(text.to_owned())),
            };
            store.record_outcomes(&[finished]).await.unwrap();
            writes(&store, text).await;
            writes(&store, &format!("{text} again")).await;
            store.release_lanes(id).await.unwrap();
        });
    }
    runtime.block_on(async {
        let spring = "SELECT id FROM dialogues WHERE task = 'spring'";
        let spring = aside(|| database.value(spring)).parse().unwrap();
        anna_says(&store, DialogueId(spring), "Anna here.").await;
        writes(&store, "to spring once more").await;
    });
    let threads =
        "SELECT string_agg(d.task || ': ' || m.author || ' ' || m.text, E'\\n' ORDER BY m.id)
        FROM messages m JOIN dialogues d ON d.id = m.dialogue_id";
    assert_eq!(
        database.value(threads),
        "spring: opening Hello!
spring: person to spring
spring: person to spring again
autumn: opening Hello!
autumn: person to autumn
autumn: person to autumn again
spring: operator Anna here.
spring: person to spring once more"
    );
}

/// Outside of the runtime that waits for it.
fn aside<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(act).join().unwrap())
}
