//! The program, run as its users run it.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::{TestDatabase, wait_until};

/// A command to be run; its environment is empty but for what a test gives it.
pub(crate) struct Program {
    command: Command,
}

/// What a command left.
#[derive(Debug)]
#[must_use]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    pub(crate) fn new(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nuncio"));
        command.current_dir(folder).args(arguments).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("USER", "tester");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command }
    }

    pub(crate) fn database(mut self, database: &TestDatabase) -> Self {
        self.command.env("NUNCIO_DATABASE_URL", database.url());
        // What it keeps outside of the database stays with the test.
        let folder = self.command.get_current_dir().map(|folder| folder.join("data"));
        self.command.envs(folder.map(|folder| ("NUNCIO_DATA", folder)));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives it a file to read from its standard input.
    pub(crate) fn stdin(mut self, path: &Path) -> Self {
        self.command.stdin(std::fs::File::open(path).unwrap());
        self
    }

    pub(crate) fn run(mut self) -> Ended {
        let output = self.command.output().unwrap();
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts it; its output goes to nobody.
    pub(crate) fn start(mut self) -> Running {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        Running { child: self.command.spawn().unwrap() }
    }

    /// Starts it; what it tells goes to a file.
    pub(crate) fn start_telling(mut self, told: &Path) -> Running {
        self.command.stdout(std::fs::File::create(told).unwrap()).stderr(Stdio::null());
        Running { child: self.command.spawn().unwrap() }
    }

    /// Starts it; what it logs goes to a file.
    pub(crate) fn start_logging(mut self, log: &Path) -> Running {
        self.command.stdout(Stdio::null()).stderr(std::fs::File::create(log).unwrap());
        Running { child: self.command.spawn().unwrap() }
    }
}

/// A program that runs; killed with the value.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    /// Freezes it; when this is over, no thread of it runs.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        // The signal alone only asks: until one of its threads has taken it, the others go on.
        let (_, status) = waitpid(Some(self.pid()), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "{status:?}");
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to leave, as Ctrl-C does, and gives its exit code.
    pub(crate) fn interrupt(self, patience: Duration) -> i32 {
        self.leave(Signal::INT, patience)
    }

    /// Asks it to leave, as a service manager does, and gives its exit code.
    pub(crate) fn terminate(self, patience: Duration) -> i32 {
        self.leave(Signal::TERM, patience)
    }

    fn leave(mut self, signal: Signal, patience: Duration) -> i32 {
        self.signal(signal);
        let status = wait_until("the program leaves", patience, || {
            let status = self.child.try_wait().unwrap();
            (status.is_some(), status)
        });
        status.unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
