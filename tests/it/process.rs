//! The real binary as a process of its own, for what a test can only see from outside: exit
//! codes, and what is left after a kill.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate::base::time::Stopwatch;

/// A running `tidegate serve`; killed when it is dropped.
pub struct Process {
    child: Child,
    pub url: String,
    /// Of the Redis protocol.
    pub redis: String,
    /// From its start until it said where it listens.
    pub ready_after: Duration,
    /// Lines of its log so far.
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts it and waits until it is ready; otherwise gives its exit code and what it said.
    pub fn start(dir: &Path) -> Result<Process, (i32, String)> {
        Process::start_with(dir, &[])
    }

    /// With settings by environment; an empty one is taken out of it.
    pub fn start_with(dir: &Path, settings: &[(&str, &str)]) -> Result<Process, (i32, String)> {
        let watch = Stopwatch::start();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .args([
                "serve",
                "--http",
                "127.0.0.1:0",
                "--redis",
                "127.0.0.1:0",
                "--json",
                "--data-dir",
            ])
            .arg(dir)
            .env("TIDEGATE_PUSH__ALLOW", "127.0.0.0/8")
            .env("TIDEGATE_LOG", "warn")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in settings.iter().copied() {
            match value.is_empty() {
                true => command.env_remove(name),
                false => command.env(name, value),
            };
        }
        let mut child = command.spawn().expect("the binary starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("its standard output is readable");
        let mut stderr = child.stderr.take().expect("a pipe");
        let Ok(said) = serde_json::from_str::<serde_json::Value>(&line) else {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            let code = child.wait().expect("a child can be awaited").code();
            return Err((code.unwrap_or(-1), text));
        };
        let [url, redis] = ["http", "redis"]
            .map(|door| said[door].as_str().expect("the line names the address").to_owned());
        // Read to its end, so that it never waits for room; shown by the harness when a test fails.
        let log = Arc::<Mutex<Vec<String>>>::default();
        let lines = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("{line}");
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Ok(Process { child, url, redis, ready_after: watch.elapsed(), log })
    }

    /// How many lines of its log say this so far.
    pub fn logged(&self, what: &str) -> usize {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().filter(|line| line.contains(what)).count()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(mut self) {
        self.end();
    }

    /// SIGTERM; gives the exit code.
    pub fn terminate(mut self) -> i32 {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        assert!(told.is_ok_and(|status| status.success()), "the signal is sent");
        self.child.wait().expect("a child can be awaited").code().unwrap_or(-1)
    }

    fn end(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
