//! `tidegate demo`: the appliance with a sample agent and a gentle load, to look around.

mod agent;
mod load;

use std::path::PathBuf;

use clap::Args;

use super::out::try_line;
use super::serve::{Signals, block_on, start_log, started};
use super::{Common, exit};
use crate::app::Sockets;
use crate::config::settings::Settings;

/// Run the appliance with a sample agent and a gentle load, to look around.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidegate demo --http 127.0.0.1:5440")]
pub struct Demo {
    /// Directory of the demo's data.
    #[arg(long, value_name = "DIR", default_value = "./tidegate-demo")]
    data_dir: PathBuf,
    /// Address of HTTP; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Address of the Redis protocol.
    #[arg(long, value_name = "ADDR")]
    redis: Option<String>,
    /// Runs that are created each second.
    #[arg(long, default_value_t = 3.0, value_name = "N")]
    rate: f64,
    /// Print the addresses in use as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub fn run(self) -> i32 {
        start_log(false);
        if !(0.0..=1_000.0).contains(&self.rate) {
            eprintln!("tidegate: `--rate`: expected 0 to 1000, got {}", self.rate);
            return exit::USAGE;
        }
        let common = Common {
            data_dir: Some(self.data_dir.clone()),
            http: self.http.clone(),
            redis: self.redis.clone(),
            config: None,
        };
        match common.settings() {
            Ok(settings) => block_on(demo(settings, self.rate, self.json)),
            Err(error) => {
                eprintln!("tidegate: {error}");
                exit::BAD_CONFIGURATION
            }
        }
    }
}

async fn demo(mut settings: Settings, rate: f64, json: bool) -> i32 {
    // The sample agent lives on loopback, which push may not reach unless it is allowed.
    let allow = crate::model::target::AllowList::parse(&["127.0.0.0/8"]);
    settings.allow = std::sync::Arc::new(allow.expect("a network in the form that is documented"));
    let mut signals = Signals::listen();
    let app = match started(Sockets::default(), settings, &mut signals).await {
        Ok(app) => app,
        Err(code) => return code,
    };
    let agent = match agent::start(app.appliance.clone()).await {
        Ok(address) => address,
        Err(error) => {
            eprintln!("tidegate: the sample agent cannot listen: {error}");
            app.stop().await;
            return exit::FAILED;
        }
    };
    let base = app.addresses.http.clone();
    if let Err(refusal) = load::register(&app.appliance, agent).await {
        eprintln!("tidegate: {refusal}");
        app.stop().await;
        return exit::FAILED;
    }
    if json {
        let told = serde_json::json!({ "http": base, "agent": format!("http://{agent}") });
        let _ = try_line(format_args!("{told}"));
    } else {
        greet(&base);
    }
    let load = tokio::spawn(load::keep_going(app.appliance.clone(), rate));
    signals.told().await;
    load.abort();
    app.stop().await;
    exit::DONE
}

fn greet(base: &str) {
    let _ = try_line(format_args!(
        "
  Tidegate demo is running.

    look at    {base}/

  and try:

    curl -s {base}/v1/runs -d '{{\"task\":\"send-mail\",\"payload\":{{\"to\":\"ada@example.com\"}}}}'
    curl -s '{base}/v1/runs?status=failed&limit=3'
    curl -s {base}/v1/status

  Ctrl-C ends it; its data stays in the directory for the next time.
"
    ));
}
