//! The pages through the whole router, over a store in a temporary directory and without duties:
//! nothing is delivered, so every test decides what its runs met.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::appliance::pulse::Pulse;
use crate::appliance::receivers::{Claim, Report, Turn};
use crate::appliance::{self, Appliance};
use crate::base::name::Name;
use crate::base::time::{Clock, Span, SystemClock};
use crate::engine::writer::Writer;
use crate::front::dashboard::assets;
use crate::front::http::door::Door;
use crate::front::http::router::router;
use crate::front::http::state::{About, ChannelTested, Front, Probe, Probed, Shared};
use crate::model::alert::{self, Channel};
use crate::model::outcome::{Answer, Outcome};
use crate::model::retry::Trouble;
use crate::model::target::AllowList;
use crate::store::open::{CACHE_BYTES, DataDir, open_dir};

mod alerts;
mod batches;
mod buffer;
mod history;
mod streams;
mod workers;

const HOSTILE: &str = "<b>\"&'";
const FORM: &str = "application/x-www-form-urlencoded";

struct House {
    router: Router,
    appliance: Appliance,
    writer: Option<Writer>,
    _store: DataDir,
    _dir: tempfile::TempDir,
}

impl House {
    fn new() -> House {
        House::at(Arc::new(SystemClock))
    }

    fn at(clock: Arc<dyn Clock>) -> House {
        let dir = tempfile::tempdir().unwrap();
        let store = open_dir(dir.path(), CACHE_BYTES, Arc::new(|_| {})).unwrap();
        let alerts = alert::Settings { channels: vec![Channel::Slack], ..Default::default() };
        let alerts = Arc::new(alerts);
        let settings = appliance::Settings { alerts, ..appliance::Settings::default() };
        let on_fault = Box::new(|fault: &crate::store::fault::Fault| panic!("{fault}"));
        let (appliance, writer) =
            appliance::start::start(store.disk.clone(), clock.clone(), settings, on_fault).unwrap();
        let probe: Probe = Arc::new(|_, _| {
            let body = format!("{{\"said\": {HOSTILE:?}}}").into_bytes();
            let answer = Answer::Response {
                status: 503,
                retry_after: None,
                location: None,
                body,
                over_limit: false,
            };
            Box::pin(async { Probed { answer, elapsed_ms: 12 } })
        });
        let front = Front::new(Shared {
            appliance: appliance.clone(),
            about: Arc::new(About {
                version: "0.0.0",
                address: "http://127.0.0.1:5440".to_owned(),
                redis: "127.0.0.1:6379".parse().unwrap(),
                data_dir: dir.path().to_owned(),
                started_at: clock.now(),
                durability: "fsync before every answer".to_owned(),
            }),
            configuration: Arc::default(),
            pulse: Arc::new(Pulse::default()),
            probe,
            channel_test: Arc::new(|channels| {
                let refused = |channel| ChannelTested {
                    channel,
                    error: Some("it answered 404: <no_team>".to_owned()),
                    elapsed_ms: 12,
                };
                Box::pin(async move { channels.into_iter().map(refused).collect() })
            }),
            allow: Arc::new(AllowList::parse(&["127.0.0.0/8"]).unwrap()),
            stop: tokio_util::sync::CancellationToken::new(),
        });
        House { router: router(front), appliance, writer: Some(writer), _store: store, _dir: dir }
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn page(&self, path: &str) -> (StatusCode, String) {
        read(self.send(Request::get(path).body(Body::empty()).unwrap()).await).await
    }

    /// A form sent from a page of this house.
    async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Response<Body> {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, FORM)
            .header("sec-fetch-site", "same-origin")
            .body(Body::from(body.finish()));
        self.send(request.unwrap()).await
    }

    async fn api(&self, method: &str, path: &str, body: Value) -> Value {
        let request = Request::builder().method(method).uri(path);
        let (_, text) =
            read(self.send(request.body(Body::from(body.to_string())).unwrap()).await).await;
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// A task that may try once, and a run of it; gives the run's id.
    async fn run(&self) -> String {
        let retry = json!({ "max_attempts": 1, "delays": ["1s"] });
        let push = json!({ "push": { "url": "http://127.0.0.1:9/x" } });
        self.api("PUT", "/v1/tasks/resize", json!({ "delivery": push, "retry": retry })).await;
        let payload = json!({ "text": HOSTILE, "number": 12_345_678_901_234_567_u64 });
        let run = json!({ "task": "resize", "payload": payload, "tags": [HOSTILE] });
        self.api("POST", "/v1/runs", run).await["id"].as_str().unwrap().to_owned()
    }

    /// Claims what waits and answers that it failed, as its last attempt.
    async fn fail_all(&self) {
        let endpoint = Name::new("resize").unwrap();
        let claim = Claim { endpoint: endpoint.clone(), max: 100, turn: Turn::default() };
        for delivery in self.appliance.claim(claim).await.unwrap().deliveries {
            let outcome = Outcome::Retry {
                code: "server_error",
                detail: format!("the agent said {HOSTILE}"),
                retry_after: None,
            };
            let report = Report {
                id: delivery.row.id,
                endpoint: endpoint.clone(),
                fence: delivery.row.fence,
                attempt: delivery.row.attempts,
                outcome,
                trouble: Trouble::Other,
                status: Some(503),
                body: HOSTILE.as_bytes().to_vec(),
                started_at: delivery.started_at,
                elapsed_ms: 5,
            };
            self.appliance.settle(report).await.unwrap();
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.stop();
        }
    }
}

async fn read(response: Response<Body>) -> (StatusCode, String) {
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

fn location(response: &Response<Body>) -> &str {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    response.headers()[header::LOCATION].to_str().unwrap()
}

#[tokio::test]
async fn every_page_answers_without_data() {
    let house = House::new();
    for path in [
        "/",
        "/runs",
        "/batches",
        "/streams",
        "/workers",
        "/outbox",
        "/outbox?state=dead",
        "/endpoints",
        "/docs",
        "/manual",
    ] {
        let response = house.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY));
        let (_, text) = read(response).await;
        assert!(text.contains("</html>"), "{path}");
        for asset in text.split("/assets/").skip(1) {
            let asset = format!("/assets/{}", asset.split('"').next().unwrap());
            assert_eq!(house.page(&asset).await.0, StatusCode::OK, "{asset}");
        }
    }
    assert!(house.page("/").await.1.contains("curl -sS -X PUT"));
}

#[tokio::test]
async fn failed_run_is_shown_escaped_everywhere() {
    let house = House::new();
    let id = house.run().await;
    house.fail_all().await;
    for path in [
        "/".to_owned(),
        "/runs".into(),
        format!("/runs/{id}"),
        "/outbox?state=dead".into(),
        format!("/outbox/{id}"),
        "/endpoints".into(),
    ] {
        let (status, text) = house.page(&path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(!text.contains(HOSTILE), "{path}");
        assert!(text.contains("&#60;b&#62;"), "{path} shows what was said");
    }
    let (_, text) = house.page(&format!("/runs/{id}")).await;
    for part in [
        "12345678901234567",
        "retries_exhausted",
        "1<span class=\"muted\"> of 1",
        "Replay as a new run",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("Cancel…"), "a final run is not canceled");
}

#[tokio::test]
async fn forms_change_things_and_lead_back() {
    let house = House::new();
    let id = house.run().await;
    let run = format!("/runs/{id}");
    let fields = [("reason", ""), ("back", "//evil.example")];
    let canceled = house.form(&format!("{run}/cancel"), &fields).await;
    assert_eq!(location(&canceled), run);
    assert!(house.page(&run).await.1.contains("by operator"));
    let fresh = house.form(&format!("{run}/replay"), &[]).await;
    let fresh = location(&fresh).to_owned();
    assert!(house.page(&fresh).await.1.contains("replay of"));
    assert!(house.page(&run).await.1.contains("replayed as"));

    house.fail_all().await;
    let retried = house.form(&format!("{fresh}/retry"), &[("back", "/runs?task=resize")]).await;
    assert_eq!(location(&retried), "/runs?task=resize");
    assert!(house.page(&fresh).await.1.contains("revived"));

    let disabled = house.form("/endpoints/resize/disable", &[("back", "/endpoints")]).await;
    assert_eq!(location(&disabled), "/endpoints");
    assert!(house.page("/").await.1.contains("Endpoint disabled."));
    location(&house.form("/endpoints/resize/enable", &[]).await);
    assert!(!house.page("/").await.1.contains("Endpoint disabled."));
}

#[tokio::test]
async fn refused_form_is_a_page_that_leads_on() {
    let house = House::new();
    let id = house.run().await;
    house.form(&format!("/runs/{id}/cancel"), &[]).await;
    house.fail_all().await;
    let (status, text) = read(house.form(&format!("/runs/{id}/retry"), &[]).await).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(
        text.contains("outbox_row_not_found") && text.contains(&format!("href=\"/runs/{id}\""))
    );
    let (status, text) = read(house.form("/endpoints/nobody/enable", &[]).await).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text.contains("endpoint_not_found") && text.contains("<h1>Not found</h1>"));
    let (status, text) = read(house.form(&format!("/runs/{id}/cancel"), &[("x", "1")]).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("unknown parameter"));
}

#[tokio::test]
async fn replay_counts_before_it_acts() {
    let house = House::new();
    house.run().await;
    house.fail_all().await;
    let filter = [("task", "resize"), ("org", ""), ("code", "retries_exhausted")];
    let (_, text) = read(house.form("/outbox/replay", &filter).await).await;
    assert!(text.contains("1 dead letter would be replayed") && text.contains("Replay 1 now"));
    assert!(text.contains("name=\"code\" value=\"retries_exhausted\""));
    let none = [("task", "resize"), ("org", "other"), ("dry_run", "true")];
    assert!(
        read(house.form("/outbox/replay", &none).await).await.1.contains("0 dead letters would")
    );
    let wrong = [("from", HOSTILE), ("task", "resize")];
    let (status, text) = read(house.form("/outbox/replay", &wrong).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("RFC 3339") && !text.contains(HOSTILE));
    let act = [("task", "resize"), ("dry_run", "false")];
    assert!(
        read(house.form("/outbox/replay", &act).await).await.1.contains("1 dead letter revived")
    );
}

#[tokio::test]
async fn pauses_come_and_go() {
    let house = House::new();
    house.run().await;
    let wrong = [("scope", "task:resize"), ("reason", HOSTILE), ("until", "yesterday")];
    let (status, text) = read(house.form("/outbox/pauses", &wrong).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("value=\"task:resize\"") && text.contains("value=\"yesterday\""));
    let good = [("scope", "task:resize"), ("lane", ""), ("reason", HOSTILE), ("until", "")];
    location(&house.form("/outbox/pauses", &good).await);
    let (_, text) = house.page("/outbox").await;
    assert!(text.contains("removed by hand") && !text.contains(HOSTILE));
    assert!(house.page("/runs").await.1.contains("is paused"));
    let gone = [("scope", "task:resize"), ("lane", ""), ("back", "/outbox")];
    assert_eq!(location(&house.form("/outbox/pauses/remove", &gone).await), "/outbox");
    let again = house.form("/outbox/pauses/remove", &gone).await;
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn secret_and_test_are_shown_once() {
    let house = House::new();
    house.run().await;
    let rotated = house.form("/endpoints/resize/rotate-secret", &[]).await;
    assert_eq!(rotated.headers()[header::CACHE_CONTROL], "no-store");
    assert!(read(rotated).await.1.contains("whsec_"));
    assert!(!house.page("/endpoints").await.1.contains("whsec_"));
    let (_, text) = read(house.form("/endpoints/resize/test", &[]).await).await;
    assert!(text.contains("<strong>503</strong>") && !text.contains(HOSTILE));
}

#[tokio::test]
async fn filters_name_what_they_cannot_read() {
    let house = House::new();
    house.run().await;
    for query in
        ["status=done", "from=soon", "limit=0", "task=a b", "cursor=x", "what=1", "batch=1"]
    {
        let query = query.replace(' ', "%20");
        let (status, text) = house.page(&format!("/runs?{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(text.contains("Nothing was searched"), "{query}");
    }
    let (status, text) = house.page("/runs?status=&task=resize&org=&q=&from=2h&limit=25").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("value=\"2h\"") && text.contains("id=\"run-"));
    let (status, _) = house.page("/outbox?state=lost").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn tabs_count_only_what_they_list() {
    let house = House::new();
    house.run().await;
    let queued = "queued <span class=\"n\">1</span>";
    assert!(house.page("/runs").await.1.contains(queued));
    assert!(house.page("/runs?task=resize").await.1.contains(queued));
    assert!(!house.page("/runs?org=default").await.1.contains(queued));
    assert!(!house.page("/runs?task=other").await.1.contains(queued));
}

#[tokio::test]
async fn refusals_come_as_the_reader_reads() {
    let house = House::new();
    let get = |path: &str, accept: &str| {
        Request::get(path).header(header::ACCEPT, accept).body(Body::empty()).unwrap()
    };
    let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
    for (path, accept, page) in [
        ("/nope", browser, true),
        ("/nope", "*/*", false),
        ("/v1/nope", browser, false),
        ("/runs/0", "*/*", true),
        ("/v1/runs/0", browser, false),
        ("/assets/nope.css", "text/css,*/*;q=0.1", false),
    ] {
        let (status, text) = read(house.send(get(path, accept)).await).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(text.starts_with("<!doctype html>"), page, "{path} {accept}: {text}");
    }
    let delete = Request::delete("/runs").header(header::ACCEPT, browser).body(Body::empty());
    let (status, text) = read(house.send(delete.unwrap()).await).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(text.contains("method_not_allowed") && text.contains("<!doctype html>"));
}

#[tokio::test]
async fn closed_door_shows_a_page() {
    let door = Door::default().router();
    let get = |path: &str, accept: &str| {
        Request::get(path).header(header::ACCEPT, accept).body(Body::empty()).unwrap()
    };
    let (status, text) = read(door.clone().oneshot(get("/runs", "text/html")).await.unwrap()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("being opened") && text.contains("Try again in 1 s"));
    let style = assets::url(assets::STYLE);
    let (status, _) = read(door.clone().oneshot(get(style, "text/css")).await.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "the page before the store is open has its style");
    let (_, text) = read(door.oneshot(get("/v1/runs", "text/html")).await.unwrap()).await;
    assert!(text.starts_with('{'));
}

#[tokio::test]
async fn forms_of_other_sites_are_refused() {
    let house = House::new();
    let id = house.run().await;
    let request = Request::post(format!("/runs/{id}/cancel"))
        .header(header::CONTENT_TYPE, FORM)
        .header("sec-fetch-site", "cross-site")
        .header(header::ORIGIN, "https://evil.example")
        .header(header::ACCEPT, "text/html")
        .body(Body::from("reason=x"));
    let (status, text) = read(house.send(request.unwrap()).await).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(text.contains("another site"));
    assert!(house.page(&format!("/runs/{id}")).await.1.contains("Cancel…"));
}

#[tokio::test]
async fn lists_go_on_where_they_ended() {
    let house = House::new();
    let oldest = house.run().await;
    for _ in 0..2 {
        house.run().await;
    }
    let (_, text) = house.page("/runs?limit=2").await;
    assert!(!text.contains(&format!("run-{oldest}")));
    let older = text.split("rel=\"next\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    let (_, text) = house.page(&older.replace("&#38;", "&")).await;
    assert!(text.contains(&format!("run-{oldest}")) && text.contains("First page"));
    assert!(!text.contains("data-refresh"), "a later page stands still");
}

#[tokio::test]
async fn waiting_run_says_why() {
    let house = House::new();
    let push = json!({ "push": { "url": "http://127.0.0.1:9/x" } });
    house.api("PUT", "/v1/tasks/later", json!({ "delivery": push })).await;
    let run = json!({ "task": "later", "delay": Span::from_hours(1).to_string() });
    let id = house.api("POST", "/v1/runs", run).await["id"].as_str().unwrap().to_owned();
    let (_, text) = house.page(&format!("/runs/{id}")).await;
    assert!(text.contains("it is delayed until") && text.contains("Start now"));
    assert!(
        !text.contains("<span class=\"muted\"> of "),
        "a task that gives up by age has no number of attempts"
    );
}
