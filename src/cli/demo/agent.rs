//! The sample agent: a real HTTP server on loopback that accepts, is slow, fails now and then,
//! and completes runs later by its own call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::appliance::Appliance;
use crate::appliance::runs::Scope;
use crate::base::entropy::Entropy;
use crate::base::id::RunId;
use crate::model::run::RunError;

struct Agent {
    appliance: Appliance,
    /// Its own numbers for runs; they start at the time, so that they differ between demos.
    next: AtomicI64,
    dice: AtomicU64,
}

/// Starts it on a free port of loopback.
pub async fn start(appliance: Appliance) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let next = AtomicI64::new(appliance.now().0);
    let agent = Arc::new(Agent { appliance, next, dice: AtomicU64::new(1) });
    let router = Router::new().route("/{task}", post(receive)).with_state(agent);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// A number below 100, different each time.
fn roll(agent: &Agent) -> u64 {
    Entropy::from_seed(agent.dice.fetch_add(1, Ordering::Relaxed)).below(100)
}

async fn receive(
    State(agent): State<Arc<Agent>>,
    Path(task): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    let number = agent.next.fetch_add(1, Ordering::Relaxed);
    let live = Json(json!({ "run_id": number, "has_explorer_index": true }));
    let done = |output: Value| Json(json!({ "run_id": number, "done": true, "output": output }));
    let dice = roll(&agent);
    match task.as_str() {
        "send-mail" => done(json!({ "sent": true })).into_response(),
        "sync-crm" => {
            tokio::time::sleep(Duration::from_millis(300 + dice * 30)).await;
            match dice {
                0..10 => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "3")]).into_response(),
                10..25 => (StatusCode::BAD_GATEWAY, "the upstream is away").into_response(),
                _ => done(json!({ "records": dice })).into_response(),
            }
        }
        "charge-card" => match dice {
            0..8 => StatusCode::GATEWAY_TIMEOUT.into_response(),
            8..14 => {
                let no = json!({ "error": "the card was declined" });
                (StatusCode::UNPROCESSABLE_ENTITY, Json(no)).into_response()
            }
            _ => done(json!({ "charged": true })).into_response(),
        },
        _ => {
            finish_later(agent, &body, dice);
            live.into_response()
        }
    }
}

/// Works for a few seconds, then reports.
fn finish_later(agent: Arc<Agent>, body: &Value, dice: u64) {
    let id = body["run"]["id"].as_str().and_then(|id| id.parse::<RunId>().ok());
    let fence = body["run"]["fence"].as_u64().and_then(|fence| u32::try_from(fence).ok());
    let Some(id) = id else { return };
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(800 + dice * 60)).await;
        let scope = Scope::default();
        let reported = if dice < 12 {
            let error =
                RunError { code: "out_of_memory".into(), message: "the image is too large".into() };
            agent.appliance.fail(id, error, dice < 8, fence, &scope).await
        } else {
            let output = json!({ "width": 640, "height": 480 }).to_string().into_bytes();
            agent.appliance.complete(id, Some(output), fence, &scope).await
        };
        if let Err(refusal) = reported {
            tracing::debug!(run = %id, error = %refusal, "the sample agent's report was refused");
        }
    });
}
