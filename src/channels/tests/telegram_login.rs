//! Signing in to an account of Telegram, and out: each way in which it ends.

use std::{sync::Arc, time::Duration};

use super::{
    super::{Driver, Examined, Http, KeptSession, SignInFailed, Step, Vault, Whereto},
    stage::Stage,
    subject::Subject,
    vault::MemoryVault,
};
use crate::domain::channel::Secret;

/// Longer than the arithmetic of a password takes where nothing is optimised.
const PATIENCE: Duration = Duration::from_mins(1);

fn driver(stage: &Stage, channel: &str, vault: &MemoryVault, changed: &[(&str, &str)]) -> Driver {
    let subject = Subject::of("telegram-cloud");
    let vault: Arc<dyn Vault> = Arc::new(vault.clone());
    let mut secrets = subject.secrets(channel);
    for (name, value) in changed {
        secrets.insert((*name).to_owned(), Secret::new((*value).to_owned()));
    }
    let http = Http::with_deadline(PATIENCE).unwrap();
    let spec = subject.spec(&stage.endpoint(subject));
    Driver::connect_with(&spec, &secrets, &http, &vault).unwrap()
}

#[tokio::test]
async fn each_code_ends_in_its_own_way() {
    let stage = Stage::quiet(None).await;
    let driver = driver(&stage, "sales", &MemoryVault::of("sales"), &[]);
    let sign_in = driver.sign_in().await.unwrap().unwrap();
    assert_eq!(sign_in.whereto, Whereto::App);
    for (code, failed) in [
        ("12345", SignInFailed::WrongCode),
        ("", SignInFailed::WrongCode),
        ("33333", SignInFailed::ExpiredCode),
        ("44444", SignInFailed::NotRegistered),
        ("55555", SignInFailed::Wait(Duration::from_secs(600))),
    ] {
        assert_eq!(sign_in.enter_code(code).await, Err(failed), "{code}");
    }
    let Ok(Step::Done(signed_in)) = sign_in.enter_code(" 11111\n").await else { panic!() };
    assert_eq!(signed_in.name, "sales");
    stage.close().await;
}

#[tokio::test]
async fn credentials_of_another_account_are_told_apart() {
    let stage = Stage::quiet(None).await;
    for (credential, words) in [("apiHash", "API_ID_INVALID"), ("phone", "PHONE_NUMBER_INVALID")] {
        let wrong = [(credential, "rehearsal_other_nothing")];
        let driver = driver(&stage, "sales", &MemoryVault::of("sales"), &wrong);
        let failed = driver.sign_in().await.unwrap().unwrap_err();
        let SignInFailed::Refused(why) = failed else { panic!("{failed:?}") };
        assert!(why.contains(words) && !why.contains("rehearsal_"), "{why}");
    }
    stage.close().await;
}

#[tokio::test]
async fn the_password_opens_where_the_code_does_not() {
    let stage = Stage::quiet(None).await;
    stage.rehearsal.end_telegram_session("sales");
    let vault = MemoryVault::of("sales");
    let signed_out = driver(&stage, "sales", &vault, &[]);
    assert!(matches!(signed_out.examine().await, Examined::Refused(_)));
    let sign_in = signed_out.sign_in().await.unwrap().unwrap();
    let wanted = Step::PasswordWanted { hint: Some("as always".to_owned()) };
    assert_eq!(sign_in.enter_code("22222").await, Ok(wanted));
    assert_eq!(sign_in.enter_password("guessed").await, Err(SignInFailed::WrongPassword));
    let Ok(Step::Done(signed_in)) = sign_in.enter_password("rehearsal").await else { panic!() };

    // What the database keeps opens for whoever has the credential.
    vault.keep(KeptSession::Sealed(signed_in.sealed));
    assert_eq!(driver(&stage, "sales", &vault, &[]).examine().await, Examined::InOrder);
    let another = driver(&stage, "sales", &vault, &[("session", "another")]);
    let Examined::Refused(why) = another.examine().await else { panic!() };
    assert!(why.contains("another `session`"), "{why}");

    assert_eq!(signed_out.sign_out().await, Some(Ok(())));
    assert!(matches!(driver(&stage, "sales", &vault, &[]).examine().await, Examined::Refused(_)));
    // It had ended already.
    assert_eq!(signed_out.sign_out().await, Some(Ok(())));
    stage.close().await;
}
