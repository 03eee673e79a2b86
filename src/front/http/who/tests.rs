//! Every route with every role, without a token and with a wrong one; bound tokens; the audit log.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::*;
use crate::appliance::backups::BackupSettings;
use crate::appliance::{self, Appliance};
use crate::base::time::{Clock, ManualClock, Time};
use crate::engine::writer::Writer;
use crate::front::dashboard::PAGES;
use crate::front::http::describe::path_names;
use crate::front::http::router::{Routes, router};
use crate::front::http::state::{About, Shared};
use crate::front::http::table::OPERATIONS;
use crate::store::disk::Disk;

struct House {
    routes: Routes,
    appliance: Appliance,
    writer: Writer,
    clock: Arc<ManualClock>,
    callers: AtomicU32,
    /// Where a backup that a route makes goes.
    _dir: tempfile::TempDir,
}

impl House {
    fn new() -> House {
        let clock = Arc::new(ManualClock::at(Time(1_700_000_000_000)));
        let dir = tempfile::tempdir().unwrap();
        let (appliance, writer) = appliance::start::start(
            Arc::new(Disk::in_memory().unwrap()),
            clock.clone(),
            appliance::Settings {
                backup: BackupSettings {
                    dir: dir.path().join("backups"),
                    ..BackupSettings::default()
                },
                ..appliance::Settings::default()
            },
            Box::new(|fault| panic!("the writer stopped: {fault}")),
        )
        .unwrap();
        let about = About {
            version: "0.0.0",
            address: "http://127.0.0.1:5440".to_owned(),
            redis: "127.0.0.1:6390".parse().unwrap(),
            data_dir: "nowhere".into(),
            started_at: clock.now(),
            durability: String::new(),
        };
        let routes = router(Front::new(Shared {
            appliance: appliance.clone(),
            about: Arc::new(about),
            configuration: Arc::default(),
            pulse: Arc::default(),
            probe: Arc::new(|_, _| unreachable!("nothing is tested")),
            channel_test: Arc::new(|_| unreachable!("no channel is tested")),
            allow: Arc::default(),
            stop: CancellationToken::new(),
        }));
        House { routes, appliance, writer, clock, callers: AtomicU32::new(0), _dir: dir }
    }

    /// Asks as a stranger of an address of its own, unless there is a token.
    async fn send(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Response<Body> {
        let caller = self.callers.fetch_add(1, Ordering::Relaxed);
        let peer = SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + caller), 1));
        self.send_from(Peer::Remote(peer), method, path, token, body).await
    }

    async fn send_from(
        &self,
        peer: Peer,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(peer);
        self.routes.clone().oneshot(request).await.unwrap()
    }

    async fn json(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> (u16, Value) {
        let response = self.send(method, path, token, body).await;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// A token, made the way in that the command line has.
    async fn token(&self, wish: Value) -> String {
        let path = "/v1/tokens";
        let response =
            self.send_from(Peer::Process, Method::POST.as_str(), path, None, Some(wish)).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        json["token"].as_str().unwrap().to_owned()
    }

    async fn of_role(&self, role: Role) -> String {
        self.token(json!({ "name": role.as_str(), "role": role.as_str() })).await
    }

    async fn close(self) {
        let House { writer, routes, appliance, .. } = self;
        drop((routes, appliance));
        tokio::task::spawn_blocking(move || writer.stop()).await.unwrap();
    }
}

/// Method, path with something in its open parts, what it takes, and whose things it is about.
fn routes() -> Vec<(&'static str, String, Needs, Reach)> {
    let filled = |path: &'static str| {
        path_names(path).fold(path.to_owned(), |path, name| {
            path.replace(&format!("{{{name}}}"), "0193b2c4-5d6e-7f80-9a1b-2c3d4e5f6a7b")
        })
    };
    let api = OPERATIONS.iter().map(|of| (of.method, filled(of.path), of.needs(), of.reach));
    let pages = PAGES.iter().map(|page| {
        let open = page.needs == Needs::Nothing;
        let reach = if open { Reach::Shared } else { Reach::House };
        (page.method, filled(page.path), page.needs, reach)
    });
    let mut all: Vec<_> = api.chain(pages).collect();
    all.push(("GET", "/openapi.json".to_owned(), Needs::Read, Reach::Shared));
    all
}

/// The way in says its own no: a link that is not the one.
fn says_no_itself(path: &str) -> bool {
    path == "/setup"
}

/// Upstream the posts that clean up, drop work and forget workers were open to everybody.
#[tokio::test]
async fn s32_every_route_is_closed_to_strangers() {
    let house = House::new();
    let expired = json!({ "name": "e", "role": "admin", "expires_in": "1m" });
    let expired = house.token(expired).await;
    let revoked = house.of_role(Role::Admin).await;
    let path = format!("/v1/tokens/{}", house.appliance.tokens().unwrap()[1].id);
    let gone = house.send_from(Peer::Process, "DELETE", &path, None, None).await;
    assert_eq!(gone.status(), StatusCode::OK);
    house.clock.advance(crate::base::time::Span::from_mins(1));
    let admin = ["cleanup", "reclaim-dead-consumers", "forget-worker", "backup", "compact"];
    for route in admin.map(|word| format!("/v1/admin/{word}")) {
        let found =
            routes().into_iter().find(|(method, path, ..)| (*method, path) == ("POST", &route));
        let (.., needs, _) = found.unwrap_or_else(|| panic!("no route {route}"));
        assert!(needs != Needs::Nothing && !Role::Viewer.may(needs), "{route}");
    }
    for (method, path, needs, _) in routes() {
        for token in [None, Some("tidegate_wrong"), Some(""), Some(&revoked), Some(&expired)] {
            let status = house.send(method, &path, token, None).await.status();
            let closed = status == StatusCode::UNAUTHORIZED;
            assert_eq!(closed, needs != Needs::Nothing, "{method} {path} with {token:?}: {status}");
        }
    }
    house.close().await;
}

#[tokio::test]
async fn every_route_takes_the_roles_of_its_table() {
    let house = House::new();
    for role in Role::ALL.iter().copied() {
        let token = house.of_role(role).await;
        for (method, path, needs, _) in routes() {
            if says_no_itself(&path) {
                continue;
            }
            let status = house.send(method, &path, Some(&token), None).await.status();
            let denied = status == StatusCode::FORBIDDEN;
            assert_eq!(denied, !role.may(needs), "{method} {path} as {role:?}: {status}");
            assert_ne!(status, StatusCode::UNAUTHORIZED, "{method} {path} as {role:?}");
            assert!(!status.is_server_error(), "{method} {path} as {role:?}: {status}");
        }
    }
    house.close().await;
}

/// A tab that answers 403 is a promise that is not kept.
#[tokio::test]
async fn settings_show_each_role_what_it_may_open() {
    let house = House::new();
    let mut seen = Vec::new();
    for role in Role::ALL.iter().copied().filter(|role| role.may(Needs::View)) {
        let token = house.of_role(role).await;
        let page = house.send("GET", "/settings", Some(&token), None).await;
        let page = page.into_body().collect().await.unwrap().to_bytes();
        let page = String::from_utf8(page.to_vec()).unwrap();
        let tabs = page.split_once("aria-label=\"Settings\"").unwrap().1;
        let tabs = tabs.split_once("</nav>").unwrap().0.split("href=\"").skip(1);
        let tabs: Vec<&str> = tabs.map(|tab| tab.split('"').next().unwrap()).collect();
        for tab in &tabs {
            let status = house.send("GET", tab, Some(&token), None).await.status();
            assert_eq!(status, StatusCode::OK, "{tab} as {role:?}");
        }
        seen.push((role, tabs.len()));
    }
    assert_eq!(seen, [(Role::Admin, 7), (Role::Operator, 4), (Role::Viewer, 2)]);
    house.close().await;
}

/// What a viewer may not do is not offered: every form but the viewer's own is hidden, and is one that
/// a viewer is refused.
#[tokio::test]
async fn pages_offer_viewers_no_forms() {
    let house = House::new();
    for role in [Role::Viewer, Role::Operator] {
        let token = house.of_role(role).await;
        for path in ["/", "/alerts", "/schedules", "/outbox"] {
            let page = house.send("GET", path, Some(&token), None).await;
            let page = page.into_body().collect().await.unwrap().to_bytes();
            let page = String::from_utf8(page.to_vec()).unwrap();
            let is_hidden = page.contains("<body class=\"looks-only\"");
            assert_eq!(is_hidden, role == Role::Viewer, "{path} as {role:?}");
        }
    }
    let own = ["/login", "/setup", "/sign-out", "/settings/you"];
    for form in PAGES.iter().filter(|page| page.method == "POST") {
        let may = Role::Viewer.may(form.needs) || form.needs == Needs::Nothing;
        assert_eq!(may, own.contains(&form.path), "{}", form.path);
    }
    house.close().await;
}

#[tokio::test]
async fn bound_tokens_stay_out_of_the_house() {
    let house = House::new();
    let token = house.token(json!({ "name": "b", "role": "admin", "org": "acme" })).await;
    for (method, path, _, reach) in routes() {
        if says_no_itself(&path) {
            continue;
        }
        let status = house.send(method, &path, Some(&token), None).await.status();
        let denied = status == StatusCode::FORBIDDEN;
        assert_eq!(denied, reach == Reach::House, "{method} {path}: {status}");
    }
    house.close().await;
}

fn pull_task() -> Value {
    json!({ "delivery": { "pull": { "stream": "resize", "lease": "60s" } } })
}

#[tokio::test]
async fn things_of_other_tenants_are_not_there() {
    let house = House::new();
    let admin = house.of_role(Role::Admin).await;
    let of = |org, env| json!({ "name": "t", "role": "operator", "org": org, "env": env });
    let mine = house.token(of(Some("acme"), None::<&str>)).await;
    let theirs = house.token(of(Some("other"), None)).await;
    let prod = house.token(of(None, Some("prod"))).await;
    house.json("PUT", "/v1/tasks/resize", Some(&admin), Some(pull_task())).await;
    let (status, run) = house
        .json("POST", "/v1/runs", Some(&mine), Some(json!({ "task": "resize", "env": "dev" })))
        .await;
    assert_eq!((status, &run["org"]), (201, &json!("acme")), "{run}");
    let id = run["id"].as_str().unwrap();
    for path in [
        format!("/v1/runs/{id}"),
        format!("/v1/runs/{id}/events"),
        format!("/v1/runs/{id}/callbacks"),
        format!("/v1/runs/{id}/deliveries"),
    ] {
        assert_eq!(house.json("GET", &path, Some(&mine), None).await.0, 200, "{path}");
        for token in [&theirs, &prod] {
            let (status, answer) = house.json("GET", &path, Some(token), None).await;
            assert_eq!(
                (status, &answer["error"]["code"]),
                (404, &json!("run_not_found")),
                "{path}"
            );
        }
    }
    for act in ["cancel", "replay", "tags", "reschedule", "complete", "fail", "callbacks"] {
        let path = format!("/v1/runs/{id}/{act}");
        let body = match act {
            "tags" => json!({ "tags": ["x"] }),
            "reschedule" => json!({ "delay": "1s" }),
            "fail" => json!({ "error": { "code": "c", "message": "m" }, "retryable": false }),
            _ => json!({}),
        };
        let (status, answer) = house.json("POST", &path, Some(&theirs), Some(body)).await;
        assert_eq!(status, 404, "{act}: {answer}");
    }
    let (_, made) =
        house.json("POST", &format!("/v1/runs/{id}/callbacks"), Some(&mine), None).await;
    let callback = format!("/v1/callbacks/{}", made["callback_id"].as_str().unwrap());
    let answer = Some(json!({}));
    assert_eq!(house.json("POST", &callback, Some(&theirs), answer.clone()).await.0, 404);
    assert_eq!(house.json("POST", &callback, Some(&mine), answer).await.0, 200);
    let count = async |token: &str| {
        let (_, page) = house.json("GET", "/v1/runs", Some(token), None).await;
        page["runs"].as_array().unwrap().len()
    };
    assert_eq!((count(&mine).await, count(&theirs).await, count(&prod).await), (1, 0, 0));
    assert_eq!(house.json("GET", "/v1/runs?org=acme", Some(&theirs), None).await.0, 403);
    house.close().await;
}

#[tokio::test]
async fn creates_outside_of_the_bounds_are_refused() {
    let house = House::new();
    let admin = house.of_role(Role::Admin).await;
    let mine = house.token(json!({ "name": "t", "role": "producer", "org": "acme" })).await;
    house.json("PUT", "/v1/tasks/resize", Some(&admin), Some(pull_task())).await;
    for (path, body) in [
        ("/v1/runs", json!({ "task": "resize", "org": "other" })),
        ("/v1/batches", json!({ "items": [{ "task": "resize" }], "org": "other" })),
        ("/v1/sharded-runs", json!({ "task": "resize", "items": [1], "org": "other" })),
    ] {
        let (status, answer) = house.json("POST", path, Some(&mine), Some(body)).await;
        assert_eq!((status, &answer["error"]["code"]), (403, &json!("forbidden")), "{path}");
    }
    let item = json!({ "items": [{ "task": "resize", "org": "other" }] });
    assert_eq!(house.json("POST", "/v1/batches", Some(&mine), Some(item)).await.0, 400);
    house.close().await;
}

#[tokio::test]
async fn everyone_may_do_everything_until_somebody_was_set_up() {
    let house = House::new();
    assert_eq!(house.send("GET", "/v1/status", None, None).await.status(), StatusCode::OK);
    let (_, who) = house.json("GET", "/v1/whoami", None, None).await;
    assert_eq!((&who["name"], &who["role"]), (&json!("anyone"), &json!("admin")));
    let (status, made) = house
        .json("POST", "/v1/tokens", None, Some(json!({ "name": "ci", "role": "viewer" })))
        .await;
    assert_eq!(status, 201);
    assert_eq!(house.json("GET", "/v1/whoami", None, None).await.0, 401);
    let token = made["token"].as_str().unwrap();
    let (_, who) = house.json("GET", "/v1/whoami", Some(token), None).await;
    assert_eq!(who["name"], "token ci");
    // Nothing opens it again.
    let id: crate::base::id::Id = made["id"].as_str().unwrap().parse().unwrap();
    house.appliance.revoke_token(id).await.unwrap();
    assert_eq!(house.json("GET", "/v1/whoami", Some(token), None).await.0, 401);
    assert_eq!(house.json("GET", "/v1/whoami", None, None).await.0, 401);
    house.close().await;
}

#[tokio::test]
async fn tokens_expire() {
    let house = House::new();
    let wish = json!({ "name": "ci", "role": "viewer", "expires_in": "1h" });
    let token = house.token(wish).await;
    assert_eq!(house.json("GET", "/v1/whoami", Some(&token), None).await.0, 200);
    house.clock.advance(crate::base::time::Span::from_hours(1));
    assert_eq!(house.json("GET", "/v1/whoami", Some(&token), None).await.0, 401);
    house.close().await;
}

#[tokio::test]
async fn guessing_of_tokens_is_slowed_and_counted() {
    let house = House::new();
    let token = house.of_role(Role::Viewer).await;
    let peer = Peer::Remote("192.0.2.1:1".parse().unwrap());
    let guess = async |token: &str| {
        let response = house.send_from(peer, "GET", "/v1/whoami", Some(token), None).await;
        let wait = response.headers().get("retry-after").is_some();
        (response.status().as_u16(), wait)
    };
    for _ in 0..6 {
        assert_eq!(guess("tidegate_guess").await, (401, false));
    }
    for _ in 0..4 {
        assert_eq!(guess("tidegate_guess").await, (429, true));
    }
    assert_eq!(house.appliance.failed_attempts(), 10);
    // Others at the same address who know it are not kept out.
    assert_eq!(guess(&token).await, (200, false));
    assert_eq!(house.json("GET", "/v1/whoami", Some("tidegate_guess"), None).await.0, 401);
    house.close().await;
}

#[tokio::test]
async fn changes_are_told_and_traffic_is_not() {
    let house = House::new();
    let operator = house.of_role(Role::Operator).await;
    let producer = house.of_role(Role::Producer).await;
    house.json("PUT", "/v1/tasks/resize", Some(&operator), Some(pull_task())).await;
    let run = Some(json!({ "task": "resize" }));
    let (_, made) = house.json("POST", "/v1/runs", Some(&producer), run.clone()).await;
    let cancel = format!("/v1/runs/{}/cancel", made["id"].as_str().unwrap());
    assert_eq!(house.json("POST", &cancel, Some(&producer), None).await.0, 200);
    let (_, made) = house.json("POST", "/v1/runs", Some(&operator), run).await;
    let cancel = format!("/v1/runs/{}/cancel", made["id"].as_str().unwrap());
    assert_eq!(house.json("POST", &cancel, Some(&operator), None).await.0, 200);
    // What is refused changes nothing, so nothing is told of it.
    assert_eq!(house.json("DELETE", "/v1/tasks/nope", Some(&operator), None).await.0, 404);
    let lines = house.appliance.audit(None, 9).unwrap();
    let told: Vec<[&str; 4]> =
        lines.iter().map(|line| [&*line.who, &*line.action, &*line.what, &*line.detail]).collect();
    assert_eq!(
        told,
        [
            ["token operator", "POST /v1/runs/{id}/cancel", &cancel, ""],
            ["token operator", "PUT /v1/tasks/{name}", "/v1/tasks/resize", ""],
            ["command line", "POST /v1/tokens", "/v1/tokens", "producer: producer of everything"],
            ["command line", "POST /v1/tokens", "/v1/tokens", "operator: operator of everything"],
        ]
    );
    assert!(lines[0].from.starts_with("10."), "{}", lines[0].from);
    house.close().await;
}

#[tokio::test]
async fn secrets_are_shown_once_and_kept_as_hashes() {
    let house = House::new();
    let admin = house.of_role(Role::Admin).await;
    for path in ["/v1/tokens", "/v1/audit"] {
        let (status, answer) = house.json("GET", path, Some(&admin), None).await;
        assert_eq!(status, 200);
        let secret = &admin["tidegate_".len()..];
        assert!(!answer.to_string().contains(secret), "{path} shows a token");
    }
    house.close().await;
}
