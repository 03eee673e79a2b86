//! Alerts that reach people: over real HTTP, over real SMTP with STARTTLS and a login, once, and
//! also when the process dies in between.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use http::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::process::Process;
use crate::receiver::PATIENCE;
use crate::world::{Client, Receiver, Reply, Seen, World};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// Fires with the next look while there is a delayed run.
const DELAYED: &str = "delayed-runs";

fn delayed_rule() -> Value {
    json!({ "name": DELAYED, "metric": "runs", "subject": "delayed", "threshold": 0, "cooldown": "1s" })
}

/// Makes the rule fire; gives the run that does it.
async fn fire(world: &World) -> String {
    let task = json!({ "delivery": { "pull": { "stream": "later" } } });
    world.put("/v1/tasks/later", task).await.is(201);
    let body = json!({ "task": "later", "payload": {}, "delay": "1h" });
    world.create(body).await["id"].as_str().unwrap().to_owned()
}

async fn cancel(world: &World, run: &str) {
    world.call("POST", &format!("/v1/runs/{run}/cancel")).send().await.is(200);
}

/// A worker comes and goes: it was the only one of its type.
async fn leave(client: &Client) {
    client.post("/v1/workers/arax/w1/heartbeat", json!({})).await.is(200);
    client.until("/v1/workers", |all| all.to_string().contains("\"alive\":1")).await;
    client.post("/v1/workers/arax/w1/shutdown", json!({})).await.is(200);
}

/// The webhook as the reference implementation reads it.
fn verified(seen: &Seen) -> Value {
    let mut headers = HeaderMap::new();
    for (name, value) in &seen.headers {
        let name: HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    Webhook::new(SECRET).unwrap().verify(&seen.body, &headers).expect("the signature is good");
    let body = seen.json();
    assert_eq!(body["id"], seen.header("webhook-id"));
    body
}

fn text_of(seen: &Seen) -> String {
    seen.json()["text"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn s29_alerts_reach_every_channel_and_failures_are_tried_again() {
    let sink = Receiver::start().await;
    sink.script("/slack", [Reply::status(503), Reply::status(200)]);
    let slack = json!({ "url": format!("{}/slack", sink.url) });
    let webhook = json!({ "url": format!("{}/hook", sink.url), "secret": SECRET });
    let alerts = json!({ "rules": [delayed_rule()], "slack": slack, "webhook": webhook });
    let world = World::build().guarded().alerts(alerts).start().await;
    let run = fire(&world).await;
    let slack = sink.wait("/slack", 2).await;
    assert_eq!(slack[0].body, slack[1].body, "the same message again");
    assert!(text_of(&slack[0]).starts_with(":warning: *warning: delayed-runs: delayed*"));
    let hook = verified(&sink.wait("/hook", 1).await[0]);
    assert_eq!(
        (&hook["type"], &hook["alerts"][0]["rule"]),
        (&json!("alert.firing"), &json!(DELAYED))
    );
    // The page of a channel tells of both: the error stays, the success is newer.
    let is_settled = |all: &Value| all["channels"][0]["sent"] == 1;
    let shown = world.until("/v1/alerts", is_settled).await;
    assert!(shown["channels"][0]["last_error"].as_str().unwrap().contains("503"), "{shown:#}");
    assert_eq!(shown["firing"][0]["rule"], DELAYED);
    assert_eq!(shown["history"][0]["message"], hook["id"]);

    cancel(&world, &run).await;
    let slack = sink.wait("/slack", 3).await;
    assert!(text_of(&slack[2]).starts_with(":white_check_mark: *resolved: delayed-runs: delayed*"));
    let hook = verified(&sink.wait("/hook", 2).await[1]);
    assert_eq!(hook["type"], "alert.resolved");
    // 31: asking changes nothing, and lines have ids that stay.
    let all = world.until("/v1/alerts", |all| all["channels"][2]["sent"] == 2).await;
    assert_eq!(all["history"], world.get("/v1/alerts").await.is(200)["history"]);
    assert_eq!(all["firing"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn s29_a_message_survives_a_kill_before_its_delivery() {
    let sink = Receiver::start().await;
    sink.always("/hook", Reply::status(500));
    let dir = tempfile::tempdir().unwrap();
    let url = format!("{}/hook", sink.url);
    let settings = [
        ("TIDEGATE_ALERTS__SERVER", "test house"),
        ("TIDEGATE_ALERTS__URL", "https://tidegate.example/"),
        ("TIDEGATE_ALERTS__GRACE", "0s"),
        ("TIDEGATE_ALERTS__DEBOUNCE", "0s"),
        ("TIDEGATE_ALERTS__WEBHOOK__URL", url.as_str()),
        ("TIDEGATE_ALERTS__WEBHOOK__SECRET", SECRET),
    ];
    let process = Process::start_with(dir.path(), &settings).expect("it starts");
    let client = Client::new(process.url.clone());
    leave(&client).await;
    let first = verified(&sink.wait("/hook", 1).await[0]);
    assert_eq!(first["alerts"][0]["rule"], "workers-gone");
    assert_eq!(first["alerts"][0]["url"], "https://tidegate.example/workers");
    process.kill();
    sink.always("/hook", Reply::status(200));
    let before = sink.seen("/hook").len();
    let process = Process::start_with(dir.path(), &settings).expect("it starts");
    let again = verified(&sink.wait("/hook", before + 1).await[before]);
    assert_eq!(again, first, "the same message, under the same id");
    let client = Client::new(process.url.clone());
    client.until("/v1/alerts", |all| all["channels"][2]["sent"] == 1).await;
    let ids = sink.seen("/hook").into_iter().map(|seen| seen.header("webhook-id").to_owned());
    assert_eq!(ids.collect::<std::collections::BTreeSet<_>>().len(), 1, "one alert, one message");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_given_up_is_tried_again_by_hand() {
    let sink = Receiver::start().await;
    sink.always("/hook", Reply::status(500));
    let webhook = json!({ "url": format!("{}/hook", sink.url), "secret": SECRET });
    let without = json!({ "rules": [delayed_rule()] });
    let with = json!({ "rules": [delayed_rule()], "webhook": webhook });
    let read = |alerts: &Value| serde_json::from_value(alerts.clone()).expect("settings of alerts");
    let mut world = World::build().alerts(with.clone()).start().await;
    fire(&world).await;
    sink.wait("/hook", 1).await;
    // Messages of a channel that is configured no more are given up.
    world.configure(|written| written.alerts = read(&without));
    world.restart().await;
    let dead = |all: &Value| all["channels"][2]["dead"].as_array().map_or(0, Vec::len);
    let all = world.until("/v1/alerts", |all| dead(all) == 1).await;
    let id = all["channels"][2]["dead"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/alerts/messages/{id}/retry");
    let webhook_only = json!({ "channel": "webhook" });
    world.post(&path, webhook_only.clone()).await.refused(422, "no_alert_channel");

    world.configure(|written| written.alerts = read(&with));
    world.restart().await;
    assert_eq!(dead(&world.get("/v1/alerts").await.is(200)), 1, "nobody but people tries it again");
    let page = String::from_utf8(world.get("/alerts").await.body).unwrap();
    assert!(page.contains(&format!("action=\"/alerts/messages/{id}/retry\"")), "{page}");
    sink.always("/hook", Reply::status(200));
    let before = sink.seen("/hook").len();
    let told = world.post(&path, webhook_only).await.is(200);
    assert_eq!(told, json!({ "channels": ["webhook"] }));
    assert_eq!(verified(&sink.wait("/hook", before + 1).await[before])["id"], id.as_str());
    let all = world.until("/v1/alerts", |all| all["channels"][2]["sent"] == 1).await;
    assert_eq!((dead(&all), &all["channels"][2]["waiting"]), (0, &json!([])));
    let again = world.call("POST", &path).send().await;
    again.refused(404, "alert_message_not_found");
    let nonsense = "/v1/alerts/messages/x/retry";
    world.call("POST", nonsense).send().await.refused(400, "invalid_id");
    world.post(&path, json!({ "channel": "fax" })).await.refused(400, "invalid_field");
}

#[tokio::test(flavor = "multi_thread")]
async fn silences_keep_messages_back_until_they_end() {
    let sink = Receiver::start().await;
    let slack = json!({ "url": format!("{}/slack", sink.url) });
    let alerts = json!({ "rules": [delayed_rule()], "slack": slack });
    let world = World::build().alerts(alerts).start().await;
    let wanted = json!({ "rule": "delayed-*", "for": "1h", "reason": "planned", "by": "ann" });
    let silence = world.post("/v1/silences", wanted).await.is(201);
    assert_eq!((&silence["active"], &silence["by"]), (&json!(true), &json!("ann")));
    fire(&world).await;
    let shown = world.until("/v1/alerts", |all| all["firing"] != json!([])).await;
    assert_eq!(
        (&shown["firing"][0]["silenced"], &shown["firing"][0]["told_at"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(sink.all().len(), 0);
    let path = format!("/v1/silences/{}", silence["id"].as_str().unwrap());
    assert_eq!(world.call("DELETE", &path).send().await.status, 204);
    sink.wait("/slack", 1).await;
    world.call("DELETE", &path).send().await.refused(404, "silence_not_found");
    for (body, field) in [
        (json!({ "reason": "x" }), "until"),
        (json!({ "reason": "x", "for": "1h", "until": "2030-01-01T00:00:00Z" }), "for"),
        (json!({ "reason": "x", "for": "0s" }), "for"),
        (json!({ "reason": "x", "until": "2001-01-01T00:00:00Z" }), "until"),
        (json!({ "for": "1h" }), "reason"),
    ] {
        let error = world.post("/v1/silences", body).await.refused(400, "invalid_field");
        assert_eq!(error["details"]["field"], field);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_a_type_whose_last_worker_stops_is_told() {
    let sink = Receiver::start().await;
    let slack = json!({ "url": format!("{}/slack", sink.url) });
    let alerts = json!({ "grace": "0s", "debounce": "1s", "slack": slack });
    let world = World::build().alerts(alerts).start().await;
    leave(&world).await;
    let text = text_of(&sink.wait("/slack", 1).await[0]);
    assert!(text.starts_with(":rotating_light: *critical: workers-gone: arax*"), "{text}");
    assert!(text.contains("stopped") && !text.contains("crashed"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_tell_what_a_channel_makes_of_them() {
    let sink = Receiver::start().await;
    sink.script("/secret-path", [Reply::status(404)]);
    let slack = json!({ "url": format!("{}/secret-path", sink.url) });
    let world = World::build().alerts(json!({ "slack": slack })).start().await;
    let told = world.post("/v1/alerts/test", json!({ "channel": "slack" })).await.is(200);
    assert_eq!(told["results"][0]["ok"], false);
    assert!(told["results"][0]["error"].as_str().unwrap().contains("404"), "{told}");
    let told = world.call("POST", "/v1/alerts/test").send().await.is(200);
    assert_eq!(
        told["results"],
        json!([{ "channel": "slack", "ok": true, "error": null,
        "duration_ms": told["results"][0]["duration_ms"] }])
    );
    world
        .post("/v1/alerts/test", json!({ "channel": "mail" }))
        .await
        .refused(422, "no_alert_channel");
    world.post("/v1/alerts/test", json!({ "channel": "fax" })).await.refused(400, "invalid_field");
    // Nothing that is shown repeats the address, which is a secret.
    for path in ["/v1/alerts", "/alerts"] {
        let shown = String::from_utf8(world.get(path).await.body).unwrap();
        assert!(!shown.contains("secret-path"), "{path}");
    }
}

/// A mail server that is killed when it is dropped.
struct MailServer {
    child: Child,
    lines: mpsc::Receiver<Value>,
    port: u64,
}

impl MailServer {
    fn start(folder: &Path, refuse: u32) -> MailServer {
        let mut child = Command::new("tests/mail/run")
            .arg(folder)
            .args(["--refuse", &refuse.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the mail server starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = send.send(serde_json::from_str(&line).expect("a line of JSON"));
            }
        });
        let mut server = MailServer { child, lines, port: 0 };
        server.port = server.next()["port"].as_u64().expect("a port");
        server
    }

    fn next(&self) -> Value {
        // The first start installs what the server needs.
        self.lines.recv_timeout(PATIENCE * 3).expect("the mail server says something")
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mail(server: &MailServer, folder: &Path, password: &str) -> Value {
    let file = folder.join("password");
    std::fs::write(&file, format!("{password}\n")).unwrap();
    json!({
        "host": "localhost", "port": server.port, "user": "alerts", "password_file": file,
        "from": "Tidegate <tidegate@example.org>", "to": ["ops@example.org", "lead@example.org"],
        "ca_file": folder.join("cert.pem"),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn s29_mail_goes_over_starttls_with_a_login_and_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(folder.path(), 1);
    let alerts = json!({ "rules": [delayed_rule()], "server": "test house", "mail": mail(&server, folder.path(), "0042") });
    let world = World::build().alerts(alerts).start().await;
    fire(&world).await;
    let mail = server.next();
    assert_eq!(mail["tls"], true, "{mail}");
    assert_eq!(mail["to"], json!(["ops@example.org", "lead@example.org"]));
    assert_eq!(mail["subject"], "[Tidegate] warning: delayed-runs: delayed");
    let text = mail["text"].as_str().unwrap();
    assert!(
        text.contains("runs that are `delayed`: 1, above 0") && text.contains("test house"),
        "{text}"
    );
    let shown = world.until("/v1/alerts", |all| all["channels"][1]["sent"] == 1).await;
    let id = shown["history"][0]["message"].as_str().unwrap();
    assert_eq!(mail["message_id"], format!("<{id}@tidegate>"));
    assert!(shown["channels"][1]["last_error"].as_str().unwrap().contains("451"), "{shown:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_or_certificate_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(folder.path(), 0);
    let test = async |mail: Value| {
        let world = World::build().alerts(json!({ "mail": mail })).start().await;
        let told = world.call("POST", "/v1/alerts/test").send().await.is(200);
        told["results"][0]["error"].as_str().unwrap_or_default().to_owned()
    };
    let said = test(mail(&server, folder.path(), "wrong")).await;
    assert!(said.contains("535") && !said.contains("wrong"), "{said}");
    let mut stranger = mail(&server, folder.path(), "0042");
    stranger["ca_file"] = Value::Null;
    let said = test(stranger).await;
    assert!(said.to_lowercase().contains("certificate"), "{said}");
    assert_eq!(test(mail(&server, folder.path(), "0042")).await, "");
}
