//! `nuncio watch`: the daemon.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::{
    Common, ExitStatus, apply::told, failure::BadArgument, output::Output, signals::Signals, values,
};
use crate::{
    clock, config,
    hosting::WebOptions,
    integrations::{NoticeUrl, Notifier},
    plan::render_human,
    reconcile::{Audience, BranchName, Follower, GitUrl, Reconciled, Remote, UrlOrigin},
    server::PublicUrl,
    service::{self, Database, WatchOptions},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Send to built-in providers on this machine instead of the real ones; needs no credentials
    #[arg(long)]
    rehearse: bool,
    /// Where a rehearsal writes what its providers saw, a JSON line each
    #[arg(long, value_name = "FILE", requires = "rehearse")]
    journal: Option<PathBuf>,
    /// Reconcile a single time, print the plan and leave; nothing is sent
    #[arg(long, conflicts_with = "rehearse")]
    once: bool,
    #[command(flatten)]
    web: Web,
    #[command(flatten)]
    following: Following,
    #[command(flatten)]
    telling: Telling,
}

/// The server of the channels that nuncio hosts itself.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Hosting web chats")]
struct Web {
    /// Serve web chats, their API and the webhooks of providers here, such as `127.0.0.1:8081`. A
    /// rehearsal takes a port by itself, the same each time
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// How people reach it, such as `https://chat.example`, where a proxy stands before it
    #[arg(long, value_name = "URL")]
    public_url: Option<PublicUrl>,
}

impl Web {
    fn read(self) -> anyhow::Result<WebOptions> {
        let Self { listen, public_url } = self;
        let of_environment = || {
            let parsed = config::listen().map(|text| text.parse());
            parsed.transpose().context("NUNCIO_LISTEN is no address such as `127.0.0.1:8081`")
        };
        let listen = listen.map_or_else(of_environment, |address| Ok(Some(address)))?;
        let of_environment = || config::public_url().map(|url| url.parse()).transpose();
        let public_url = public_url.map_or_else(of_environment, |url| Ok(Some(url)))?;
        Ok(WebOptions { listen, public_url })
    }
}

/// Who is told what changes.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Telling others")]
struct Telling {
    /// Run this with `sh -c` whenever something changed, the event as JSON on its standard input
    #[arg(long, value_name = "COMMAND")]
    on_change: Option<String>,
    /// Post every event as JSON to this address. One that is a secret belongs into
    /// `NUNCIO_NOTIFY_URL`
    #[arg(long, value_name = "URL")]
    notify: Option<NoticeUrl>,
}

impl Telling {
    fn read(self) -> anyhow::Result<Audience> {
        let Self { on_change: command, notify } = self;
        if notify.as_ref().is_some_and(NoticeUrl::has_password) {
            let what = "the address for notices holds a secret, and arguments are seen by everybody \
                on the machine: put the whole address into NUNCIO_NOTIFY_URL";
            return Err(BadArgument(what.to_owned()).into());
        }
        let of_environment = || config::notify_url().map(|url| url.parse()).transpose();
        let url = notify.map_or_else(of_environment, |url| Ok(Some(url)))?;
        let notifier = url.map(Notifier::new).transpose()?;
        Ok(Audience { command, notifier })
    }
}

/// A repository to follow in place of the tasks folder.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Following a repository")]
struct Following {
    /// Follow a branch of this repository, in a checkout that nuncio keeps. An address with a password
    /// belongs into `NUNCIO_GIT_URL`
    #[arg(long, value_name = "URL")]
    git: Option<String>,
    /// The branch to follow
    #[arg(long, value_name = "BRANCH")]
    branch: Option<BranchName>,
    /// The folder of the manifests in the repository [default: tasks.d]
    #[arg(long, value_name = "DIR")]
    path: Option<String>,
    /// How often the repository is asked [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = interval)]
    interval: Option<Duration>,
}

const INTERVAL: Duration = Duration::from_secs(30);
/// More often is a burden to the server, and saves nobody anything.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_secs(86_400);

fn interval(text: &str) -> Result<Duration, String> {
    let interval = values::duration(text)?;
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        Ok(interval)
    } else {
        Err("it must be between 1s and 24h".to_owned())
    }
}

/// What is followed, before anything is opened for it.
struct Followed {
    remote: Remote,
    path: String,
    interval: Duration,
}

impl Following {
    fn read(self) -> anyhow::Result<Option<Followed>> {
        let Self { git, branch, path, interval } = self;
        let url = match (git, config::git_url()) {
            (Some(url), _) => GitUrl::parse(&url, UrlOrigin::Argument)
                .map_err(|error| BadArgument(format!("--git: {error}")))?,
            (None, Some(url)) => GitUrl::parse(&url, UrlOrigin::Environment)?,
            (None, None) if branch.is_none() && path.is_none() && interval.is_none() => {
                return Ok(None);
            }
            (None, None) => {
                let what = "--branch, --path and --interval need a repository: give --git URL or \
                    NUNCIO_GIT_URL";
                return Err(BadArgument(what.to_owned()).into());
            }
        };
        let Some(branch) = branch else {
            let what = "the branch to follow is missing: give --branch BRANCH";
            return Err(BadArgument(what.to_owned()).into());
        };
        let path = path.unwrap_or_else(|| "tasks.d".to_owned());
        let interval = interval.unwrap_or(INTERVAL);
        Ok(Some(Followed { remote: Remote { url, branch }, path, interval }))
    }
}

pub(super) async fn run(common: &Common, args: Args, output: Output) -> anyhow::Result<ExitStatus> {
    let followed = args.following.read()?;
    let audience = args.telling.read()?;
    let web = args.web.read()?;
    let mut signals = Signals::listen()?;
    let choice = common.database();
    let database = tokio::select! {
        database = Database::open(&choice) => database?,
        status = signals.next() => return Ok(status),
    };
    if let Some(data) = &database.data {
        output.note(&format!("The database is a private server in {}.", data.display()));
    }
    let data = database.data.clone().unwrap_or_else(|| config::data_folder(&common.tasks));
    let journal = args.journal.unwrap_or_else(|| data.join("rehearsal.jsonl"));
    let open = |Followed { remote, path, interval }| Follower::open(remote, &path, interval, &data);
    let follower = followed.map(open).transpose()?;
    let by = format!("watch of {}", config::actor());
    if args.once {
        let tasks = common.tasks.clone();
        let on_plan = Box::new(|_: &_| {});
        let options = WatchOptions {
            tasks,
            notes: data,
            follower,
            audience,
            rehearse: false,
            web,
            journal,
            by,
            on_plan,
        };
        return once(&database, options, output).await;
    }
    let last_plan = Mutex::new(String::new());
    let options = WatchOptions {
        tasks: common.tasks.clone(),
        notes: data,
        follower,
        audience,
        rehearse: args.rehearse,
        web,
        journal,
        by,
        on_plan: Box::new(move |plan| {
            let shown = render_human(plan, &[], clock::now(), output.stdout_color);
            // A plan that could not be applied is made again and again, and told once.
            let mut last = last_plan.lock().unwrap_or_else(PoisonError::into_inner);
            if *last != shown {
                output.data(&shown);
                *last = shown;
            }
        }),
    };
    let (shutdown, force) = (CancellationToken::new(), CancellationToken::new());
    let watching = service::watch(database, options, shutdown.clone(), force.clone());
    tokio::pin!(watching);
    let status = tokio::select! {
        ended = &mut watching => return ended.map(|()| ExitStatus::Success),
        status = signals.next() => status,
    };
    shutdown.cancel();
    tokio::select! {
        ended = &mut watching => ended?,
        // A second signal skips the grace period.
        _ = signals.next() => force.cancel(),
    }
    Ok(status)
}

/// The same as a pass of `watch`, with the answer of `apply`.
async fn once(
    database: &Database,
    options: WatchOptions,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let Reconciled { survey, plan, applied } = service::watch_once(database, options).await?;
    let is_invalid = output.diagnostics(&survey.diagnostics, &survey.sources);
    output.data(&render_human(&plan, &[], clock::now(), output.stdout_color));
    if let Some(applied) = &applied {
        output.note(&told(applied));
    }
    Ok(if is_invalid {
        output.error("some manifests are invalid, and were not applied");
        ExitStatus::Error
    } else if plan.is_rejected() {
        output.error("a rule forbids parts of the plan, and they were not applied");
        ExitStatus::Rejected
    } else {
        ExitStatus::Success
    })
}
