//! `nuncio dialogue take`, `give-back`, `close` and `unblock`: one act on one dialogue.

use super::{dialogue_id, no_such_dialogue, sentence::why, words::shown_state};
use crate::{
    cli::{Common, ExitStatus, output::Output},
    config,
    domain::{id::DialogueId, money::MicroUsd},
    service::Database,
    store::{DialogueAct, DialogueActed},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The dialogue, by its number in `nuncio dialogues`
    #[arg(value_parser = dialogue_id)]
    id: DialogueId,
    /// Why, for whoever reads the dialogue later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(clap::Args, Debug)]
pub(super) struct UnblockArgs {
    #[command(flatten)]
    act: Args,
    /// So many dollars more, such as 0.50 [default: the task's limit once more]
    #[arg(long, value_name = "USD", value_parser = parse_grant)]
    add: Option<MicroUsd>,
}

/// More than any dialogue is worth: a comma was lost.
const GRANT_MAX: MicroUsd = MicroUsd::from_micros(1_000_000_000);

fn parse_grant(text: &str) -> Result<MicroUsd, String> {
    let amount: MicroUsd = text.parse().map_err(|error| format!("{error}"))?;
    if amount.micros() == 0 || amount > GRANT_MAX {
        return Err("it is more than nothing, and at most 1000".to_owned());
    }
    Ok(amount)
}

pub(super) async fn unblock(
    common: &Common,
    args: &UnblockArgs,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    run(common, &args.act, DialogueAct::Unblock(args.add), output).await
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    act: DialogueAct,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let Args { id, reason } = args;
    let database = Database::open(&common.database()).await?;
    let store = &database.store;
    match store.act_on_dialogue(*id, act, &config::actor(), reason.as_deref()).await? {
        DialogueActed::Done { from, to, in_flight } => {
            output.note(&format!("dialogue {id}: {} → {}", shown_state(from), shown_state(to)));
            if let Some(message) = in_flight {
                output.note(&format!(
                    "message m{message} was on its way at that moment, and may still arrive"
                ));
            }
            if let Some(thread) = store.read_thread(*id).await? {
                output.note(&why(&thread));
            }
            Ok(ExitStatus::Success)
        }
        DialogueActed::Already(state) => {
            output.note(&format!("dialogue {id} is {} already", shown_state(state)));
            Ok(ExitStatus::Success)
        }
        DialogueActed::Refused { state, why } => {
            output.error(&format!("dialogue {id} is {}: {why}", shown_state(state)));
            Ok(ExitStatus::Rejected)
        }
        DialogueActed::NoSuchDialogue => no_such_dialogue(*id),
    }
}
