//! `nuncio channel login` and `logout`: the session of an account that its owner has to open.

use std::io::{IsTerminal as _, stdin};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::{
    super::{Common, ExitStatus, failure::BadArgument, output::Output, signals::Signals},
    status::{self, Account},
};
use crate::{
    channels::{SignIn, SignInFailed, SignedIn, Step, Whereto},
    config,
    connectors::connector,
    domain::{id::ChannelName, kind::ChannelKind},
    service::Database,
    store::{ChannelHealth, Purpose, Unblocked},
};

/// Telegram itself stops counting them after a few.
const TRIES_MAX: usize = 3;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A channel of kind `telegram-cloud`
    name: ChannelName,
}

/// What a person typed, or how they left.
enum Typed {
    Words(String),
    Left(ExitStatus),
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let name = &args.name;
    let database = Database::open(&common.database()).await?;
    let channel = find(&database, name).await?;
    if !stdin().is_terminal() {
        output.error("nobody signed in: the code cannot be asked for, as stdin is no terminal");
        output.hint(&format!("run `nuncio channel login {name}` in a terminal"));
        return Ok(ExitStatus::Error);
    }
    let connector = connector(Some(&database.store), None)?;
    if status::examine(&connector, &channel).await == Account::InOrder {
        output.note(&format!("The account of `{name}` is signed in to already."));
        output.hint(&format!("`nuncio channel logout {name}` ends its session"));
        return Ok(ExitStatus::Success);
    }
    let driver = match connector.connect(name, &channel.spec) {
        Ok(driver) => driver,
        Err(why) => return Ok(unconnectable(name, &why, output)),
    };
    let sign_in = match driver.sign_in().await {
        Some(Ok(sign_in)) => sign_in,
        Some(Err(failed)) => return Ok(refused(output, &failed)),
        None => return Err(BadArgument(no_account(name)).into()),
    };
    let signed_in = match converse(&sign_in, output).await? {
        Ok(signed_in) => signed_in,
        Err(status) => return Ok(status),
    };
    let SignedIn { user_id, name: owner, sealed } = signed_in;
    let by = config::actor();
    database.store.write_telegram_session(name, user_id, &sealed, &by).await?;
    output.note(&format!("Signed in to the account of {owner}, for channel `{name}`."));
    if let Unblocked::Lifted { reason } = database.store.unblock_lane(name).await? {
        output.note(&format!("The channel goes on; it was blocked: {reason}"));
    }
    database.store.wake_others().await?;
    Ok(ExitStatus::Success)
}

/// Asks for the code and, where there is one, for the password.
async fn converse(
    sign_in: &SignIn<'_>,
    output: Output,
) -> anyhow::Result<Result<SignedIn, ExitStatus>> {
    output.note(match sign_in.whereto {
        Whereto::App => "Telegram has sent a code to the app on the account's other devices.",
        Whereto::Sms => "Telegram has sent a code by SMS.",
        Whereto::Call => "Telegram calls the account's number and tells a code.",
        Whereto::Email => "Telegram has sent a code to the account's e-mail address.",
        Whereto::Fragment => "Telegram has sent a code to the number's page on fragment.com.",
    });
    let mut wanted = None;
    let mut tries = 0;
    loop {
        let step = match &wanted {
            None => {
                output.note("The code:");
                match ask(output, Echo::Shown).await? {
                    Typed::Words(code) => sign_in.enter_code(&code).await,
                    Typed::Left(status) => return Ok(Err(status)),
                }
            }
            Some(hint) => {
                let hint: &Option<String> = hint;
                let hint = hint.as_ref().map(|hint| format!(" (hint: {hint})"));
                output.note(&format!("The password{}:", hint.unwrap_or_default()));
                match ask(output, Echo::Hidden).await? {
                    Typed::Words(password) => sign_in.enter_password(&password).await,
                    Typed::Left(status) => return Ok(Err(status)),
                }
            }
        };
        match step {
            Ok(Step::Done(signed_in)) => return Ok(Ok(signed_in)),
            Ok(Step::PasswordWanted { hint }) => {
                wanted = Some(hint);
                tries = 0;
            }
            Err(failed @ (SignInFailed::WrongCode | SignInFailed::WrongPassword)) => {
                tries += 1;
                if tries == TRIES_MAX {
                    return Ok(Err(refused(output, &failed)));
                }
                output.error(&failed.to_string());
            }
            Err(failed) => return Ok(Err(refused(output, &failed))),
        }
    }
}

fn refused(output: Output, failed: &SignInFailed) -> ExitStatus {
    output.error(&format!("nobody signed in: {failed}"));
    match failed {
        SignInFailed::WrongCode | SignInFailed::ExpiredCode => {
            output.hint("run the command again: Telegram sends another code");
        }
        SignInFailed::NotRegistered => {
            output.hint("make the account in Telegram's app, and check the credential `phone`");
        }
        _ => {}
    }
    ExitStatus::Error
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Echo {
    Shown,
    Hidden,
}

async fn ask(output: Output, echo: Echo) -> anyhow::Result<Typed> {
    let mut signals = Signals::listen()?;
    let silence = (echo == Echo::Hidden).then(Silence::begin).flatten();
    let typed = tokio::task::spawn_blocking(|| {
        let mut typed = String::new();
        stdin().read_line(&mut typed).map(|_| typed)
    });
    let typed = tokio::select! {
        typed = typed => typed??,
        status = signals.next() => {
            drop(silence);
            output.note("");
            return Ok(Typed::Left(status));
        }
    };
    drop(silence);
    let typed = typed.trim_end_matches(['\n', '\r']).to_owned();
    if typed.is_empty() {
        output.error("nobody signed in: nothing was typed");
        return Ok(Typed::Left(ExitStatus::Error));
    }
    Ok(Typed::Words(typed))
}

/// The terminal shows nothing of what is typed, for as long as this lives.
struct Silence(Termios);

impl Silence {
    fn begin() -> Option<Self> {
        let before = tcgetattr(stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(stdin(), OptionalActions::Flush, &silent).ok()?;
        Some(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing either.
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &self.0);
    }
}

pub(super) async fn out(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let name = &args.name;
    let database = Database::open(&common.database()).await?;
    let channel = find(&database, name).await?;
    let connector = connector(Some(&database.store), None)?;
    if database.store.read_telegram_session(name).await?.is_none() {
        output.note(&format!("Nobody is signed in to the account of `{name}`."));
        return Ok(ExitStatus::Success);
    }
    let driver = match connector.connect(name, &channel.spec) {
        Ok(driver) => driver,
        Err(why) => return Ok(unconnectable(name, &why, output)),
    };
    // What Telegram was not told of stays in the list of the account's devices, and its owner can end it there.
    let told = match driver.sign_out().await {
        Some(Ok(())) => None,
        Some(Err(outcome)) => Some(outcome.reason),
        None => return Err(BadArgument(no_account(name)).into()),
    };
    database.store.delete_telegram_session(name).await?;
    database.store.wake_others().await?;
    output.note(&format!("The session of `{name}` is deleted here."));
    if let Some(why) = told {
        output.error(&format!("Telegram was not told: {why}"));
        output.hint("end it in Telegram's app: Settings, Devices");
        return Ok(ExitStatus::Error);
    }
    Ok(ExitStatus::Success)
}

async fn find(database: &Database, name: &ChannelName) -> anyhow::Result<ChannelHealth> {
    let mut all = database.store.list_channels().await?;
    let Some(channel) = all.remove(name) else {
        return Err(status::unknown(name, all.keys()).into());
    };
    if channel.spec.kind != ChannelKind::TelegramCloud {
        return Err(BadArgument(no_account(name)).into());
    }
    if database.store.read_purpose().await? == Some(Purpose::Rehearsal) {
        let words = "this database is a rehearsal's, whose accounts are signed in to from the beginning; \
                     sign in where `nuncio watch` works for real: `--database`";
        return Err(BadArgument(words.to_owned()).into());
    }
    Ok(channel)
}

fn unconnectable(name: &ChannelName, why: &str, output: Output) -> ExitStatus {
    output.error(&format!("channel `{name}` cannot be connected: {why}"));
    output.hint("its credentials are needed here too, in the same places as for `nuncio watch`");
    ExitStatus::Error
}

fn no_account(name: &ChannelName) -> String {
    format!(
        "channel `{name}` is of a kind that nobody signs in to: its credentials are all it needs"
    )
}
