//! The demo's tasks and its gentle mixed load.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use crate::appliance::Appliance;
use crate::appliance::intake::Submit;
use crate::appliance::runs::Scope;
use crate::base::entropy::Entropy;
use crate::base::name::Name;
use crate::base::time::Span;
use crate::model::refusal::Refusal;
use crate::model::retry::RetryPolicy;
use crate::model::task::{Delivery, Flush, KeyRule, Task};

const TASKS: [(&str, Flush, Option<u32>, Option<KeyRule>); 4] = [
    ("send-mail", Flush::Async, None, None),
    ("resize-image", Flush::Async, Some(12), None),
    ("sync-crm", Flush::Async, Some(2), Some(KeyRule::Org)),
    ("charge-card", Flush::Sync, None, None),
];
const ORGS: [&str; 4] = ["acme", "globex", "initech", "umbrella"];
const ENVS: [&str; 2] = ["prod", "staging"];

fn name(text: &str) -> Name {
    Name::new(text).expect("names of the demo are plain")
}

pub async fn register(appliance: &Appliance, agent: SocketAddr) -> Result<(), Refusal> {
    for (task, flush, concurrency, concurrency_key) in TASKS {
        let url = format!("http://{agent}/{task}");
        let mut task = Task::pushed(name(task), url, appliance.now());
        if let Delivery::Push(push) = &mut task.delivery {
            push.flush = flush;
            push.timeout = Span::from_secs(10);
        }
        task.retry = RetryPolicy::Custom {
            max_attempts: 4,
            delays: vec![Span::from_secs(2), Span::from_secs(5), Span::from_secs(15)],
        };
        task.max_duration = Span::from_mins(2);
        task.concurrency = concurrency;
        task.concurrency_key = concurrency_key;
        appliance.put_task(task).await?;
    }
    Ok(())
}

/// Creates about `rate` runs a second, with a short burst now and then, until it is aborted.
pub async fn keep_going(appliance: Appliance, rate: f64) {
    if rate <= 0.0 {
        return;
    }
    let mut dice = Entropy::from_system();
    loop {
        let burst = if dice.below(60) == 0 { 12 } else { 1 };
        for _ in 0..burst {
            tokio::spawn(one(appliance.clone(), Entropy::from_seed(dice.next_u64())));
        }
        let pause = (2_000.0 / rate) * (dice.below(1_000) as f64 / 1_000.0);
        tokio::time::sleep(Duration::from_millis(pause as u64 + 1)).await;
    }
}

async fn one(appliance: Appliance, mut dice: Entropy) {
    let (task, ..) = TASKS[dice.below(TASKS.len() as u64) as usize];
    let org = ORGS[dice.below(10).min(ORGS.len() as u64 - 1) as usize];
    let env = ENVS[usize::from(dice.below(4) == 0)];
    let number = dice.below(10_000);
    let payload = json!({ "number": number, "note": format!("{task} for {org}") }).to_string();
    let tags = match dice.below(5) {
        0 => vec!["urgent".to_owned()],
        1 => vec!["nightly".to_owned(), format!("customer-{}", number % 50)],
        _ => Vec::new(),
    };
    let payload = Some(payload.into_bytes());
    let submit = Submit {
        idempotency_key: (dice.below(4) == 0).then(|| format!("order-{number}")),
        tags,
        delay: (dice.below(12) == 0).then(|| Span::from_secs(5 + dice.below(60) as i64)),
        ..Submit::plain(name(task), name(org), name(env), payload)
    };
    match appliance.create(submit, true).await {
        Ok(crate::appliance::intake::Created::Kept { run, .. }) if dice.below(40) == 0 => {
            // Somebody changes their mind now and then.
            let reason = Some("the customer called".to_owned());
            let _ = appliance.cancel(run.id, reason, "api", &Scope::default()).await;
        }
        Ok(_) => {}
        Err(refusal) => tracing::debug!(error = %refusal, "the demo's run was refused"),
    }
}
