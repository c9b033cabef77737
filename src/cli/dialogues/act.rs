//! `nuncio dialogue take`, `give-back`, `close` and `unblock`: one act on one dialogue.

use serde::Serialize;

use super::{
    dialogue_id, no_such_dialogue,
    sentence::why,
    words::{short, shown_state},
};
use crate::{
    cli::{
        Common, ExitStatus,
        failure::FORMAT_VERSION,
        output::{AnswerForm, Output, columns},
        sentence::wrapped_to,
    },
    clock, config,
    domain::{id::DialogueId, money::MicroUsd},
    service::Database,
    store::{DialogueAct, DialogueActed, Owed},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The dialogue, by its number in `nuncio dialogues`
    #[arg(value_parser = dialogue_id)]
    id: DialogueId,
    /// Why, for whoever reads the dialogue later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// How it is told what was done
    #[arg(long, value_enum, default_value_t)]
    output: AnswerForm,
}

#[derive(clap::Args, Debug)]
pub(super) struct GiveBackArgs {
    #[command(flatten)]
    act: Args,
    /// Let the AI wait for the person's next message; without it, what nobody has answered is answered at
    /// once
    #[arg(long)]
    no_answer: bool,
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

pub(super) async fn give_back(
    common: &Common,
    args: &GiveBackArgs,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let owed = if args.no_answer { Owed::LetGo } else { Owed::Answered };
    run(common, &args.act, DialogueAct::GiveBack(owed), output).await
}

pub(super) async fn unblock(
    common: &Common,
    args: &UnblockArgs,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    run(common, &args.act, DialogueAct::Unblock(args.add), output).await
}

/// An act for programs.
#[derive(Serialize)]
struct ActedJson {
    format_version: &'static str,
    dialogue: i64,
    from: &'static str,
    /// The same where it was so already.
    to: &'static str,
    /// A message that was on its way at that moment, and may still arrive.
    in_flight: Option<String>,
    /// What happens next.
    why: Option<String>,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    act: DialogueAct,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let Args { id, reason, output: form } = args;
    let database = Database::open(&common.database()).await?;
    let store = &database.store;
    let acted = store.act_on_dialogue(*id, act, &config::actor(), reason.as_deref()).await?;
    let (from, to, in_flight) = match acted {
        DialogueActed::Done { from, to, in_flight, answers_since } => {
            output.note(&if from == to {
                format!("dialogue {id} was {} already, and is yours now", shown_state(from))
            } else {
                format!("dialogue {id}: {} → {}", shown_state(from), shown_state(to))
            });
            if let Some(message) = in_flight {
                output.note(&format!(
                    "message m{message} was on its way at that moment, and may still arrive"
                ));
            }
            if let Some(since) = answers_since {
                let ago = short(since, clock::now());
                output.note(&format!("the AI now answers what the person wrote {ago} ago"));
            }
            (from, to, in_flight)
        }
        DialogueActed::Already(state) => {
            output.note(&format!("dialogue {id} is {} already", shown_state(state)));
            (state, state, None)
        }
        DialogueActed::Refused { state, why } => {
            output.error(&format!("dialogue {id} is {}: {why}", shown_state(state)));
            if store.read_thread(*id).await?.is_some_and(|thread| thread.suppressed) {
                output.hint(
                    "`nuncio suppress` lists who asked for it, and when; only `nuncio unsuppress PERSON \
                    --reason TEXT` undoes it",
                );
            }
            return Ok(ExitStatus::Rejected);
        }
        DialogueActed::NoSuchDialogue => return no_such_dialogue(*id),
    };
    let next = store.read_thread(*id).await?.as_ref().map(why);
    if *form == AnswerForm::Json {
        output.json(&ActedJson {
            format_version: FORMAT_VERSION,
            dialogue: id.0,
            from: from.as_str(),
            to: to.as_str(),
            in_flight: in_flight.map(|message| format!("m{message}")),
            why: next,
        });
    } else if let Some(next) = next.filter(|_| from != to) {
        output.note(wrapped_to(&next, columns(), 2).trim_end());
    }
    Ok(ExitStatus::Success)
}
