//! `tidegate serve`: the appliance until TERM or INT; a second signal ends it at once.

use std::io::IsTerminal;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::{EnvFilter, reload};

use super::exit::Failure;
use super::out::try_line;
use super::systemd::{self, Manager};
use super::{Common, exit};
use crate::app::reload::Reloader;
use crate::app::{self, App, Sockets};
use crate::config::settings::Settings;
use crate::engine::writer::OnFault;

/// Run the appliance.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidegate serve --data-dir /var/lib/tidegate --http 127.0.0.1:5440"
)]
pub struct Serve {
    #[command(flatten)]
    common: Common,
    /// Print the addresses in use as one line of JSON.
    #[arg(long)]
    json: bool,
    /// Write log lines as JSON.
    #[arg(long)]
    log_json: bool,
}

impl Serve {
    pub fn run(self) -> i32 {
        let log = start_log(self.log_json);
        let settings = match self.common.settings() {
            Ok(settings) => settings,
            Err(error) => {
                eprintln!("tidegate: {error}");
                return exit::BAD_CONFIGURATION;
            }
        };
        log.set(&settings.log_level);
        block_on(serve(settings, self.json, &self.common, &log))
    }
}

/// Changes what is logged.
pub struct Log(Box<dyn Fn(EnvFilter) -> Result<(), reload::Error>>);

impl Log {
    /// Puts a filter in force that was checked with the settings.
    pub fn set(&self, level: &str) {
        if let Err(error) = (self.0)(EnvFilter::new(level)) {
            tracing::warn!(%error, "what is logged cannot be changed");
        }
    }
}

/// Lines go to standard error; `TIDEGATE_LOG` filters them, for example `debug`.
pub fn start_log(json: bool) -> Log {
    let filter = EnvFilter::try_from_env("TIDEGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // Colours are for people, not for files.
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(colours);
    // Journald has its own times; without a terminal it is most likely there.
    macro_rules! start {
        ($log:expr) => {{
            let log = $log.with_env_filter(filter).with_filter_reloading();
            let handle = log.reload_handle();
            log.init();
            Log(Box::new(move |filter| handle.reload(filter)))
        }};
    }
    if json {
        start!(log.json())
    } else if std::env::var_os("JOURNAL_STREAM").is_some() {
        start!(log.without_time())
    } else {
        start!(log)
    }
}

/// A runtime for the whole process.
pub fn block_on(work: impl Future<Output = i32>) -> i32 {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            eprintln!("tidegate: the runtime cannot start: {error}");
            exit::FAILED
        }
    }
}

/// A fault of the store ends the process: restart is the recovery path that is walked most.
pub fn exit_on_fault() -> OnFault {
    Box::new(|fault| std::process::exit(exit::of_fault(fault)))
}

async fn serve(settings: Settings, json: bool, common: &Common, log: &Log) -> i32 {
    let mut signals = Signals::listen();
    let mut hangup = hangup();
    let manager = Manager::from_env();
    let sockets = match systemd::sockets() {
        Ok(sockets) => sockets,
        Err(error) => {
            eprintln!("tidegate: the sockets that were handed over cannot be used: {error}");
            return exit::FAILED;
        }
    };
    let app = tokio::select! {
        started = started(sockets, settings, &mut signals) => started,
        // A start over a large store after a kill may take a while.
        never = manager.ask_for_time() => match never {},
    };
    let app = match app {
        Ok(app) => app,
        Err(code) => return code,
    };
    let line = match json {
        true => serde_json::to_string(&app.addresses).expect("two texts always serialise"),
        false => {
            format!("tidegate is ready: {} and {}", app.addresses.http, app.addresses.redis)
        }
    };
    // Who does not read it need not: the file of addresses says the same.
    let _ = try_line(format_args!("{line}"));
    if let Some(secret) = app.appliance.set_up_link() {
        let link = format!("{}/setup?token={secret}", app.addresses.http);
        tracing::info!(%link, "there are no users yet: this link makes the first admin, for 30 minutes");
    }
    let status = format!("http://{} and redis://{}", app.http, app.redis);
    manager.ready(&status);
    let reloads = async {
        while hangup.recv().await.is_some() {
            manager.reloading();
            reload_settings(&app.reloader, common, log).await;
            manager.ready(&status);
        }
    };
    tokio::select! {
        () = signals.told() => {}
        () = manager.watch(app.appliance.clone()) => {}
        () = reloads => {}
    }
    manager.stopping();
    tracing::info!("stopping; a second signal ends at once");
    tokio::spawn(async move {
        signals.told().await;
        std::process::exit(exit::FAILED);
    });
    app.stop().await;
    exit::DONE
}

/// HUP: the settings are read again. Heard from here on, since by itself it would end the process.
fn hangup() -> Signal {
    signal(SignalKind::hangup()).expect("signals can be awaited inside a runtime")
}

/// Reads the settings again with the same flags and puts them in force, as far as that goes.
async fn reload_settings(reloader: &Reloader, common: &Common, log: &Log) {
    let read = common.settings();
    let level = read.as_ref().map(|settings| settings.log_level.clone()).unwrap_or_default();
    match reloader.reload(read).await {
        Ok(waiting) => {
            log.set(&level);
            tracing::info!("the settings were read again and are in force");
            for key in waiting {
                tracing::warn!(key, "this setting has changed and needs a restart");
            }
        }
        Err(bad) => {
            tracing::error!(key = bad.key, error = %bad, "the settings were not changed");
        }
    }
}

/// The appliance when it is ready, or the exit code once it is known why not.
pub async fn started(
    sockets: Sockets,
    settings: Settings,
    signals: &mut Signals,
) -> Result<App, i32> {
    let started = tokio::select! {
        biased;
        started = app::start_on(sockets, settings, exit_on_fault()) => started,
        () = signals.told() => {
            tracing::info!("told to stop before it was ready");
            // Now, not after the recovery: what is being opened is safe at any point, as after a
            // kill.
            std::process::exit(exit::DONE)
        }
    };
    started.map_err(|error| {
        let failure = Failure::start(&error);
        eprintln!("tidegate: {}", failure.message);
        failure.code
    })
}

/// TERM and INT, heard from [`Signals::listen`] on: whoever reads that the appliance is ready may
/// tell it to stop at once.
pub struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// # Panics
    /// Outside of a runtime.
    pub fn listen() -> Signals {
        let of = |kind| signal(kind).expect("signals can be awaited inside a runtime");
        Signals { term: of(SignalKind::terminate()), int: of(SignalKind::interrupt()) }
    }

    /// Waits for the next one.
    pub async fn told(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
