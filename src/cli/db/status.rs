//! `nuncio db status`: the server, the tables and what is in them; looked at and left as they are.

use serde::Serialize;

use super::guard::standing;
use crate::{
    cli::{
        Common, ExitStatus,
        failure::FORMAT_VERSION,
        output::{AnswerForm, Output},
    },
    config,
    service::{DatabaseChoice, Server},
    store::{
        Contents, Examination, Schema, ServerOptions,
        embedded::{Cluster, Embedded},
    },
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    output: AnswerForm,
}

#[derive(Serialize)]
struct Answer {
    format_version: &'static str,
    server: ServerJson,
    /// `absent`, `empty`, `behind`, `current`, or `foreign`: written by another version.
    schema: &'static str,
    /// Migrations of this version that are not done yet.
    pending: usize,
    /// Absent where the schema is not this version's.
    contents: Option<ContentsJson>,
}

#[derive(Serialize)]
struct ServerJson {
    /// Absent if no server runs, because nobody has used it yet.
    version: Option<String>,
    /// `private` or `given`.
    kind: &'static str,
    /// The private server's data folder, or the given server's address without its password.
    place: String,
    size_bytes: Option<u64>,
}

#[derive(Serialize)]
struct ContentsJson {
    purpose: Option<String>,
    guarded: bool,
    living_watches: u64,
    living_executors: u64,
    tasks: u64,
    running_tasks: u64,
    contacts: u64,
    in_doubt: u64,
}

/// What was found.
struct Found {
    version: String,
    size_bytes: u64,
    schema: Schema,
    contents: Option<Contents>,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let choice = common.database();
    let (kind, place, found) = match &choice {
        DatabaseChoice::Embedded { data } => {
            let is_absent = Embedded::look(data, &config::search_path())? == Cluster::Absent;
            let found = if is_absent { None } else { Some(find(&choice).await?) };
            ("private", data.display().to_string(), found)
        }
        DatabaseChoice::Url(_) => {
            let server = Server::open(&choice).await?;
            ("given", address(&server.options), Some(find(&choice).await?))
        }
    };
    match args.output {
        AnswerForm::Human => output.data(&table(kind, &place, found.as_ref())),
        AnswerForm::Json => output.json(&answer(kind, place, found)),
    }
    Ok(ExitStatus::Success)
}

async fn find(choice: &DatabaseChoice) -> anyhow::Result<Found> {
    let server = Server::open(choice).await?;
    let mut examination = Examination::connect(server.options.clone()).await?;
    let version = examination.version().await?;
    let size_bytes = examination.size_bytes().await?;
    let schema = examination.schema().await?;
    let contents = match &schema {
        Schema::Current => Some(examination.contents().await?),
        Schema::Empty | Schema::Behind(_) | Schema::Foreign(_) => None,
    };
    examination.close().await?;
    Ok(Found { version, size_bytes, schema, contents })
}

/// Where a server is, without its password.
fn address(options: &ServerOptions) -> String {
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    match options.get_socket() {
        Some(socket) => format!("{user}@{} {database}", socket.display()),
        None => format!("{user}@{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

fn table(kind: &str, place: &str, found: Option<&Found>) -> String {
    let mut rows = vec![("server", format!("{kind}, {place}"))];
    match found {
        None => rows.push(("schema", "absent: the first command makes the server".to_owned())),
        Some(Found { version, size_bytes, schema, contents }) => {
            rows[0].1 = format!("PostgreSQL {version}, {kind}: {place}");
            rows.push(("size", size(*size_bytes)));
            rows.push(("schema", shown(schema)));
            rows.extend(contents.iter().flat_map(contents_rows));
        }
    }
    let lines: Vec<String> =
        rows.into_iter().map(|(name, value)| format!("{name:<10}{value}")).collect();
    lines.join("\n")
}

fn contents_rows(contents: &Contents) -> Vec<(&'static str, String)> {
    let Contents {
        purpose,
        guard,
        living_watches,
        living_executors,
        tasks,
        running_tasks,
        contacts,
        in_doubt,
    } = contents;
    let purpose = purpose.clone();
    let doubts = if *in_doubt > 0 { "; list them: nuncio resolve" } else { "" };
    let guard = guard
        .as_ref()
        .map_or("off".to_owned(), |guard| format!("on {}; nothing is sent", standing(guard)));
    vec![
        ("purpose", purpose.unwrap_or_else(|| "none yet: no `watch` has sent from it".to_owned())),
        ("guard", guard),
        ("watches", format!("{living_watches} living")),
        ("executors", format!("{living_executors} living")),
        ("tasks", format!("{tasks}, {running_tasks} of them in progress")),
        ("contacts", contacts.to_string()),
        ("in doubt", format!("{in_doubt}{doubts}")),
    ]
}

fn shown(schema: &Schema) -> String {
    match schema {
        Schema::Current => "current: the tables are this version's".to_owned(),
        Schema::Empty => {
            "empty: the first command, or `nuncio db migrate`, makes the tables".into()
        }
        Schema::Behind(n) => {
            format!("behind by {n}: the next command, or `nuncio db migrate`, does them")
        }
        Schema::Foreign(versions) => format!(
            "foreign: this version does not know the migrations {versions:?}; use the version that \
             wrote them, or a newer one"
        ),
    }
}

fn word(schema: &Schema) -> &'static str {
    match schema {
        Schema::Current => "current",
        Schema::Empty => "empty",
        Schema::Behind(_) => "behind",
        Schema::Foreign(_) => "foreign",
    }
}

/// To three digits, as people read it.
fn size(bytes: u64) -> String {
    const STEP: u64 = 1024;
    match bytes {
        ..STEP => format!("{bytes} B"),
        _ => ["kB", "MB", "GB", "TB"]
            .iter()
            .zip([STEP, STEP.pow(2), STEP.pow(3), STEP.pow(4)])
            .rfind(|(_, unit)| bytes >= *unit)
            .map(|(name, unit)| format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit))
            .expect("it is at least the smallest"),
    }
}

fn answer(kind: &'static str, place: String, found: Option<Found>) -> Answer {
    let Some(Found { version, size_bytes, schema, contents }) = found else {
        let server = ServerJson { version: None, kind, place, size_bytes: None };
        let schema = "absent";
        return Answer {
            format_version: FORMAT_VERSION,
            server,
            schema,
            pending: 0,
            contents: None,
        };
    };
    Answer {
        format_version: FORMAT_VERSION,
        server: ServerJson { version: Some(version), kind, place, size_bytes: Some(size_bytes) },
        pending: if let Schema::Behind(n) = schema { n } else { 0 },
        schema: word(&schema),
        contents: contents.map(|contents| ContentsJson {
            purpose: contents.purpose,
            guarded: contents.guard.is_some(),
            living_watches: contents.living_watches,
            living_executors: contents.living_executors,
            tasks: contents.tasks,
            running_tasks: contents.running_tasks,
            contacts: contents.contacts,
            in_doubt: contents.in_doubt,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_told_in_the_largest_unit_that_fits() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 kB"),
            (9_900_000, "9.4 MB"),
            (1 << 30, "1.0 GB"),
            (u64::MAX, "16777215.9 TB"),
        ];
        for (bytes, wanted) in cases {
            assert_eq!(size(bytes), wanted);
        }
    }
}
