//! `tidegate serve`: the appliance until TERM or INT; a second signal ends it at once.

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Common, exit};
use crate::app;
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
        start_log(self.log_json);
        let settings = match self.common.settings() {
            Ok(settings) => settings,
            Err(error) => {
                eprintln!("tidegate: {error}");
                return exit::BAD_CONFIGURATION;
            }
        };
        block_on(serve(settings, self.json))
    }
}

/// Lines go to standard error; `TIDEGATE_LOG` filters them, for example `debug`.
pub fn start_log(json: bool) {
    let filter = EnvFilter::try_from_env("TIDEGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    // Journald has its own times; without a terminal it is most likely there.
    if json {
        log.json().init();
    } else if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().with_ansi(false).init();
    } else {
        log.init();
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

async fn serve(settings: Settings, json: bool) -> i32 {
    let app = match app::start(settings, exit_on_fault()).await {
        Ok(app) => app,
        Err(error) => {
            eprintln!("tidegate: {error}");
            return exit::of_start(&error);
        }
    };
    if json {
        println!("{}", app::addresses(app.http, app.redis));
    } else {
        println!("tidegate is ready: http://{} and redis://{}", app.http, app.redis);
    }
    until_told().await;
    tracing::info!("stopping; a second signal ends at once");
    tokio::spawn(async {
        until_told().await;
        std::process::exit(exit::FAILED);
    });
    app.stop().await;
    exit::DONE
}

/// Waits for TERM or INT.
pub async fn until_told() {
    let mut term =
        signal(SignalKind::terminate()).expect("signals can be awaited inside a runtime");
    let mut int = signal(SignalKind::interrupt()).expect("signals can be awaited inside a runtime");
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
