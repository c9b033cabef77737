//! Runs another program, for a bounded time and with bounded output.

use std::{io, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    time::timeout,
};

/// What a program may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) time: Duration,
    /// Of standard output, and of standard error; the rest is read and dropped.
    pub(super) output_bytes: u64,
}

/// A program that ended by itself.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) success: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ProgramError {
    #[error("the program could not be run")]
    NotRun(#[from] io::Error),
    #[error("the program took longer than {0:?} and was ended")]
    TookTooLong(Duration),
}

/// Everything that a program started, ended with the value: a program's own children, such as the
/// transports of git, would go on without it.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Nobody is left in it: it ended.
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
}

/// Runs the command with `input` on its standard input. Dropped, it ends the program.
pub(super) async fn run(
    mut command: Command,
    input: Vec<u8>,
    limits: Limits,
) -> Result<Ran, ProgramError> {
    command.process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let mut group = Group(leader);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let running = async {
        let write = async {
            if let Some(mut stdin) = stdin {
                // It need not read what it is told.
                drop(stdin.write_all(&input).await);
            }
        };
        let ((), stdout, stderr, status) = tokio::join!(
            write,
            read(stdout, limits.output_bytes),
            read(stderr, limits.output_bytes),
            child.wait()
        );
        Ok(Ran { success: status?.success(), stdout: stdout?, stderr: stderr? })
    };
    let ran = timeout(limits.time, running).await;
    if ran.is_ok() {
        // Its number may belong to somebody else by now.
        group.0 = None;
    }
    ran.unwrap_or(Err(ProgramError::TookTooLong(limits.time)))
}

async fn read(from: Option<impl AsyncRead + Unpin>, bytes_max: u64) -> io::Result<String> {
    let Some(mut from) = from else { return Ok(String::new()) };
    let mut kept = Vec::new();
    (&mut from).take(bytes_max).read_to_end(&mut kept).await?;
    // A full pipe would hold the program up.
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(String::from_utf8_lossy(&kept).into_owned())
}
