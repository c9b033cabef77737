//! `nuncio explain`: what a code means, why its rule exists, and the way out; offline.

use std::fmt::Write as _;

use super::{
    ExitStatus,
    explanations::{Explanation, all, find},
    output::Output,
};
use crate::manifest::nearest;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Codes, such as `unknown-field` or `exit-3` [default: a list of all]
    codes: Vec<String>,
}

pub(super) fn run(args: &Args, output: Output) -> ExitStatus {
    let color = output.stdout_color;
    if args.codes.is_empty() {
        output.data(&list(color));
        return ExitStatus::Success;
    }
    let mut texts = Vec::new();
    for code in &args.codes {
        // As the last line of a run lists them: with commas, and an ellipsis for what is left out.
        let code = code.trim_end_matches([',', '…']).to_lowercase();
        if code.is_empty() {
            continue;
        }
        let exit = format!("exit-{code}");
        match find(&code).or_else(|| find(&exit)) {
            Some(explanation) => texts.push(shown(explanation, color)),
            None => {
                output.error(&format!("no code is called `{code}`"));
                let known = all().iter().map(|explanation| explanation.code);
                match nearest(&code, known) {
                    Some(near) => output.hint(&format!("did you mean `{near}`?")),
                    None => output.hint("`nuncio explain` lists every code"),
                }
                return ExitStatus::Error;
            }
        }
    }
    output.data(&texts.join("\n"));
    ExitStatus::Success
}

fn list(color: bool) -> String {
    let width = all().iter().map(|told| told.code.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Explanation { code, summary, .. } in all() {
        let code = format!("{code:width$}");
        writeln!(text, "{}  {summary}", bold(&code, color)).expect("a String takes all text");
    }
    text
}

fn shown(explanation: &Explanation, color: bool) -> String {
    let mut text = format!("{}\n\n", bold(explanation.code, color));
    for line in explanation.body.lines() {
        let label =
            ["Why:", "Fails:", "Way out:"].into_iter().find(|label| line.starts_with(label));
        match label {
            Some(label) => text.push_str(&(bold(label, color) + &line[label.len()..])),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

fn bold(text: &str, color: bool) -> String {
    if color { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
}
