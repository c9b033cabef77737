//! Whom `suppress`, `unsuppress` and `forget` mean: by every kind of address, and by names that systems gave.

use nuncio::{
    domain::{
        address::Address,
        dialogue::{Delivery, Received},
        id::{ChannelName, DialogueId},
    },
    store::{Parcel, Repeat, Said, Store, Words},
};
use tokio::runtime::Runtime;

use crate::support::{Ended, Folder, Program, TestDatabase, channel, vk_task};

const WEB: &str = "
apiVersion: nuncio/v1
kind: Task
metadata: {name: web}
spec:
  type: web
  format: incoming
  channels: [shop, crm]
  managers: [anna]
  ai: sales
  spendingLimitPerDialogue: 1
  state: running
";

struct Stage {
    folder: Folder,
    database: TestDatabase,
    runtime: Runtime,
    store: Store,
}

impl Stage {
    fn new() -> Self {
        let (folder, database) = (Folder::with_team(), TestDatabase::new());
        for name in ["shop", "crm"] {
            let text = channel(name, "api", "apiKey: {env: API_KEY}", "");
            folder.write(&format!("{name}.yaml"), &text);
        }
        folder.write("vk.yaml", &channel("vk", "vk-user", "token: {env: VK_TOKEN}", ""));
        folder.write("web.yaml", WEB);
        folder.write("one.yaml", &vk_task("one", "vk", "[4242, 5]", ""));
        let runtime = Runtime::new().unwrap();
        let store = runtime.block_on(database.store());
        let stage = Self { folder, database, runtime, store };
        stage.ends(&["apply", "--auto-approve"], 0);
        stage
    }

    #[track_caller]
    fn told(&self, arguments: &[&str], code: i32) -> Ended {
        let ended = Program::new(self.folder.root(), arguments).database(&self.database).run();
        assert_eq!(ended.code, code, "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        ended
    }

    #[track_caller]
    fn ends(&self, arguments: &[&str], code: i32) {
        drop(self.told(arguments, code));
    }

    fn writes(&self, channel: &str, name: &str, text: &str) -> DialogueId {
        let what =
            Delivery::Message { id: format!("{channel}-{name}-{text}"), text: text.to_owned() };
        let received = [Received::of(Address::from_stored(name.to_owned()), None, what)];
        let to: ChannelName = channel.parse().unwrap();
        let parcel = Parcel { channel: &to, received: &received, raw: None, cursor: None };
        assert_eq!(self.runtime.block_on(self.store.receive(&parcel)).unwrap().fresh, 1);
        let of =
            format!("SELECT id FROM dialogues WHERE channel = '{channel}' AND peer = '{name}'");
        DialogueId(self.database.value(&of).parse().unwrap())
    }

    /// Whether an operator may say something.
    fn may_be_told(&self, dialogue: DialogueId) -> bool {
        let parts = ["Good day".to_owned()];
        let words = Words { parts: &parts, by: "eva", repeat: Repeat::Meant };
        !matches!(self.runtime.block_on(self.store.say(dialogue, &words)), Ok(Said::Suppressed))
    }

    /// The dialogues that there are, by channel and name.
    fn dialogues(&self) -> String {
        self.database.value(
            "SELECT string_agg(channel || '/' || peer, ' ' ORDER BY channel, peer) FROM dialogues",
        )
    }
}

#[test]
fn every_kind_of_address_is_suppressed_and_let_go_again() {
    let stage = Stage::new();
    for (text, kept) in [
        ("+7 912 345-67-89", "+79123456789"),
        ("@Anna_Petrova", "@anna_petrova"),
        ("-12345678", "-12345678"),
        ("12345678901@lid", "12345678901@lid"),
        ("MX.1a9", "MX.1a9"),
        ("telegram:5000000001", "telegram:5000000001"),
        ("Instagram:17841400000001", "instagram:17841400000001"),
        ("avito:u2i-A~b_c", "avito:u2i-A~b_c"),
        ("3F1C6D58-0000-4000-8000-000000000001", "3f1c6d58-0000-4000-8000-000000000001"),
    ] {
        stage.ends(&["suppress", text], 0);
        let standing =
            "SELECT string_agg(address, ' ') FROM opt_outs WHERE undone_at IS NULL".to_owned();
        assert_eq!(stage.database.value(&standing), kept);
        stage.ends(&["unsuppress", text, "--reason", "asked for it"], 0);
        assert_eq!(stage.database.value(&standing), "NULL", "{text}");
    }
    let nobody = stage.told(&["suppress", "anna"], 64);
    assert!(nobody.stderr.contains("nuncio dialogues"), "{}", nobody.stderr);
}

#[test]
fn a_name_that_a_system_gave_is_one_persons_on_one_channel() {
    let stage = Stage::new();
    let in_shop = stage.writes("shop", "client-42", "Hello");
    let in_crm = stage.writes("crm", "client-42", "Hello");
    let alone = stage.writes("crm", "solo", "Hello");
    for command in [&["suppress", "client-42"][..], &["forget", "client-42", "--auto-approve"]] {
        let told = stage.told(command, 64).stderr;
        assert!(told.contains("`crm`, on `shop`") && told.contains("--channel crm"), "{told}");
    }
    stage.ends(&["suppress", "client-42", "--channel", "nowhere"], 1);
    stage.ends(&["suppress", "client-42", "--channel", "shop"], 0);
    assert!(!stage.may_be_told(in_shop) && stage.may_be_told(in_crm));
    let list = stage.told(&["suppress", "--show-addresses"], 0).stdout;
    assert!(list.contains("shop/client-42") && list.contains("channel shop"), "{list}");
    stage.ends(&["unsuppress", "shop/client-42", "--reason", "asked for it"], 0);
    assert!(stage.may_be_told(in_shop));
    // Where only one person has the name, nobody has to say whose it is.
    stage.ends(&["suppress", "solo"], 0);
    assert!(!stage.may_be_told(alone));

    stage.ends(&["forget", "client-42", "--channel", "crm", "--auto-approve"], 0);
    assert_eq!(stage.dialogues(), "crm/solo shop/client-42");
    assert!(stage.may_be_told(in_shop));
    let again = stage.writes("crm", "client-42", "Hello again");
    assert!(!stage.may_be_told(again), "who was forgotten is not written to");
    stage.ends(&["unsuppress", "client-42", "--channel", "crm", "--reason", "asked"], 0);
    assert!(stage.may_be_told(again));
}

#[test]
fn a_stop_holds_for_the_person_who_said_it_and_not_for_a_namesake() {
    let stage = Stage::new();
    let namesake = stage.writes("shop", "client-42", "Hello");
    let by_phone = stage.writes("shop", "+79123456789", "Hello");
    let stopped = stage.writes("crm", "client-42", "STOP");
    assert!(!stage.may_be_told(stopped) && stage.may_be_told(namesake));
    let states =
        "SELECT string_agg(state, ' ' ORDER BY channel) FROM dialogues WHERE peer = 'client-42'";
    assert_eq!(stage.database.value(states), "closed with-operator");
    // A phone is the same person everywhere.
    stage.writes("crm", "+79123456789", "STOP");
    assert!(!stage.may_be_told(by_phone));
}

#[test]
fn a_number_that_a_system_gave_is_no_vkontakte_id() {
    let stage = Stage::new();
    stage.writes("shop", "4242", "Hello");
    let told = stage.told(&["forget", "4242", "--auto-approve"], 64).stderr;
    assert!(told.contains("has it for an address") && told.contains("--channel shop"), "{told}");
    let contacts = "SELECT string_agg(address, ' ' ORDER BY address) FROM contacts";
    stage.ends(&["forget", "4242", "--channel", "shop", "--auto-approve"], 0);
    assert_eq!(
        (stage.database.value(contacts), stage.dialogues()),
        ("4242 5".into(), "NULL".into())
    );
    stage.writes("shop", "4242", "Hello again");
    let told = stage.told(&["forget", "4242", "--channel", "vk", "--auto-approve"], 0).stderr;
    assert!(told.contains("Erased: 1 contact."), "{told}");
    assert_eq!(
        (stage.database.value(contacts), stage.dialogues()),
        ("5".into(), "shop/4242".into())
    );
}
