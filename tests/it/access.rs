//! Access control from outside: tokens of the command line, people on pages, and an appliance that
//! stays away from other machines until somebody was let in.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use http::Method;
use reqwest::redirect;
use serde_json::{Value, json};
use tidegate::app::StartError;
use tidegate::cli::beside::Ask;
use tidegate::cli::exit;

use crate::process::Process;
use crate::world::{Client, World};

/// A verb of the command line with its exit code and what it printed.
fn verb(dir: &Path, words: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(words)
        .arg("--data-dir")
        .arg(dir)
        .env("TIDEGATE_LOG", "warn")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A verb that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let done = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code().unwrap_or(-1), text(&done.stdout), text(&done.stderr))
}

fn create(dir: &Path, name: &str, role: &str) -> Value {
    let words = ["token", "create", "--name", name, "--role", role, "--json"];
    let (code, out, err) = verb(dir, &words, "");
    assert_eq!(code, exit::DONE, "{err}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let fields: Vec<&String> = made.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["id", "token"]);
    made
}

async fn status_of(client: &Client, path: &str, token: Option<&str>) -> u16 {
    let mut call = client.call("GET", path);
    if let Some(token) = token {
        call = call.header("authorization", &format!("Bearer {token}"));
    }
    call.send().await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_beside_a_running_appliance_and_without() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let first = create(&data, "first", "admin");
    let process = Process::start(&data).unwrap();
    let client = Client::new(process.url.clone());
    let second = create(&data, "second", "viewer");
    let [first, second] = [&first, &second].map(|made| made["token"].as_str().unwrap().to_owned());
    for (token, status) in
        [(None, 401), (Some("x"), 401), (Some(&*first), 200), (Some(&*second), 200)]
    {
        assert_eq!(status_of(&client, "/v1/status", token).await, status, "{token:?}");
    }
    let (code, out, _) = verb(&data, &["token", "list"], "");
    assert!(code == exit::DONE && out.contains("second") && !out.contains(&second), "{out}");
    let (_, out, _) = verb(&data, &["token", "list", "--json"], "");
    let listed: Value = serde_json::from_str(&out).unwrap();
    let id = listed["tokens"][1]["id"].as_str().unwrap();
    assert_eq!(verb(&data, &["token", "revoke", id], "").0, exit::DONE);
    assert_eq!(status_of(&client, "/v1/status", Some(&second)).await, 401);
    // Refusals keep their words, and usage its code.
    let words = ["token", "create", "--name", "x", "--role", "king"];
    let (code, _, err) = verb(&data, &words, "");
    assert!(code == exit::USAGE && err.contains("expected one of admin"), "{code} {err}");
    assert_eq!(process.terminate(), exit::DONE);
    // What was made and revoked holds after a restart.
    let process = Process::start(&data).unwrap();
    let client = Client::new(process.url.clone());
    assert_eq!(status_of(&client, "/v1/status", Some(&first)).await, 200);
    assert_eq!(status_of(&client, "/v1/status", Some(&second)).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_managed_by_verbs() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let add = ["user", "add", "--name", "ada", "--role", "admin"];
    let (code, _, err) = verb(&data, &add, "short\n");
    assert!(code == exit::USAGE && err.contains("password"), "{code} {err}");
    assert_eq!(verb(&data, &add, "correct horse battery\n").0, exit::DONE);
    let (code, _, err) = verb(&data, &add, "correct horse battery\n");
    assert!(code == exit::FAILED && err.contains("already"), "{code} {err}");
    let passwd = ["user", "passwd", "--name", "ada"];
    assert_eq!(verb(&data, &passwd, "another horse battery\n").0, exit::DONE);
    assert!(verb(&data, &["user", "list"], "").1.contains("ada"));
    let (code, _, err) = verb(&data, &["user", "remove", "--name", "ada"], "");
    assert!(code == exit::FAILED && err.contains("last admin"), "{code} {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_machines_get_in_only_after_somebody_was_set_up() {
    let mut world = World::new().await;
    world.stop().await;
    world.configure(|written| written.server.http = Some("0.0.0.0:0".to_owned()));
    let error = world.try_start().await.expect_err("nobody was let in");
    assert!(matches!(error, StartError::NoAccess(_)));
    assert_eq!(exit::Failure::start(&error).code, exit::BAD_CONFIGURATION);
    assert!(error.to_string().contains("tidegate token create"), "{error}");
    let wish = json!({ "name": "ci", "role": "admin" });
    let made = world.ask(Ask::new(Method::POST, "/v1/tokens").body(wish)).await.unwrap();
    world.start().await;
    let port = world.app.as_ref().unwrap().http.port();
    let client = Client::new(format!("http://127.0.0.1:{port}"));
    assert_eq!(status_of(&client, "/v1/status", None).await, 401);
    assert_eq!(status_of(&client, "/v1/status", made["token"].as_str()).await, 200);
    assert_eq!(status_of(&client, "/healthz", None).await, 200);
    // A foreign name is refused whoever asks.
    let call = client.call("GET", "/v1/status").header("host", "evil.example");
    call.send().await.refused(403, "forbidden");
}

/// A browser as far as it matters: forms, no redirects on its own.
struct Browser {
    http: reqwest::Client,
    url: String,
    cookie: String,
}

impl Browser {
    fn of(world: &World) -> Browser {
        let http = reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none());
        Browser { http: http.build().unwrap(), url: world.url.clone(), cookie: String::new() }
    }

    async fn get(&self, path: &str) -> (u16, String, String) {
        self.send(self.http.get(format!("{}{path}", self.url))).await.0
    }

    /// Also keeps the cookie.
    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> (u16, String, String) {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        fields.iter().for_each(|(name, value)| {
            body.append_pair(name, value);
        });
        let request = self
            .http
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.finish());
        let (answer, cookie) = self.send(request).await;
        if let Some(cookie) = cookie {
            assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
            self.cookie = cookie.split(';').next().unwrap().to_owned();
        }
        answer
    }

    /// Status, where to go, body; and the cookie that was set.
    async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> ((u16, String, String), Option<String>) {
        let request = request.header("accept", "text/html").header("cookie", &self.cookie);
        let response = request.send().await.unwrap();
        let header = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        let (status, to, cookie) = (
            response.status().as_u16(),
            header("location").unwrap_or_default(),
            header("set-cookie"),
        );
        ((status, to, response.text().await.unwrap()), cookie)
    }
}

const PASSWORD: &str = "correct horse battery";

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_and_out() {
    let world = World::new().await;
    let add = json!({ "name": "ada", "role": "admin", "password": PASSWORD });
    world.ask(Ask::new(Method::POST, "/v1/users").body(add)).await.unwrap();
    let mut browser = Browser::of(&world);
    let (status, to, _) = browser.get("/runs?status=failed").await;
    assert_eq!((status, &*to), (303, "/login?back=%2Fruns%3Fstatus%3Dfailed"));
    assert_eq!(browser.get("/login").await.0, 200);
    let wrong = [("name", "<b>ada"), ("password", "wrong wrong wrong")];
    let (status, _, page) = browser.post("/login", &wrong).await;
    assert_eq!(status, 401);
    assert!(page.contains("no user of this name") && !page.contains("<b>ada"), "{page}");
    let back = "/runs?status=failed";
    let right = [("name", "ada"), ("password", PASSWORD), ("back", back)];
    let (status, to, _) = browser.post("/login", &right).await;
    assert_eq!((status, &*to), (303, back));
    let (status, _, page) = browser.get("/settings").await;
    assert!(status == 200 && page.contains("user ada") && page.contains("Sign out"), "{page}");
    // A line break in where to go sets no header and leads home.
    let evil = [("name", "ada"), ("password", PASSWORD), ("back", "/x\r\nset-cookie: a=b")];
    assert_eq!(browser.post("/login", &evil).await.1, "/");
    let (status, _, page) =
        browser.post("/settings/tokens", &[("name", "ci"), ("role", "viewer")]).await;
    assert!(status == 200 && page.contains("tidegate_"), "{page}");
    let (_, _, page) = browser.get("/settings/tokens").await;
    assert!(page.contains("ci") && !page.contains("tidegate_"), "it is shown once");
    let (_, _, page) = browser.get("/settings/audit").await;
    assert!(page.contains("POST /settings/tokens") && page.contains("user ada"), "{page}");
    let signed_in = browser.cookie.clone();
    assert_eq!(browser.post("/sign-out", &[]).await.1, "/login");
    browser.cookie = signed_in;
    assert_eq!(browser.get("/settings").await.0, 303, "the session is over, not just its cookie");
}

/// Who changes the own password stays in; every other session of that user ends.
#[tokio::test(flavor = "multi_thread")]
async fn people_change_their_own_passwords() {
    const NEW: &str = "another horse battery";
    let world = World::new().await;
    let add = json!({ "name": "ada", "role": "viewer", "password": PASSWORD });
    let admin = json!({ "name": "eve", "role": "admin", "password": PASSWORD });
    for user in [admin, add] {
        world.ask(Ask::new(Method::POST, "/v1/users").body(user)).await.unwrap();
    }
    let (mut here, mut there) = (Browser::of(&world), Browser::of(&world));
    for browser in [&mut here, &mut there] {
        assert_eq!(browser.post("/login", &[("name", "ada"), ("password", PASSWORD)]).await.0, 303);
    }
    assert!(here.get("/settings/you").await.2.contains("You are <strong>ada</strong>, viewer"));
    let before = here.cookie.clone();
    let change = async |browser: &mut Browser, old: &str, new: &str| {
        let (status, _, page) =
            browser.post("/settings/you", &[("old", old), ("password", new)]).await;
        (status, page)
    };
    let (status, page) = change(&mut here, "wrong wrong wrong", NEW).await;
    assert!(status == 401 && page.contains("is another one"), "{status} {page}");
    assert_eq!(change(&mut here, PASSWORD, "short").await.0, 400);
    assert_eq!(there.get("/settings").await.0, 200, "nothing has changed yet");
    let (status, page) = change(&mut here, PASSWORD, NEW).await;
    assert!(status == 200 && page.contains("was changed"), "{status} {page}");
    assert_ne!(here.cookie, before);
    assert_eq!(here.get("/settings").await.0, 200);
    assert_eq!(there.get("/settings").await.0, 303, "its session is over");
    for (password, status) in [(PASSWORD, 401), (NEW, 303)] {
        let fields = [("name", "ada"), ("password", password)];
        assert_eq!(there.post("/login", &fields).await.0, status, "{password}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_of_passwords_is_slowed() {
    let world = World::new().await;
    let add = json!({ "name": "ada", "role": "admin", "password": PASSWORD });
    world.ask(Ask::new(Method::POST, "/v1/users").body(add)).await.unwrap();
    let mut browser = Browser::of(&world);
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(browser.post("/login", &[("name", "ada"), ("password", "guess")]).await.0);
    }
    assert_eq!(seen, [401, 401, 401, 401, 401, 401, 429]);
    // Even the right one waits now.
    assert_eq!(browser.post("/login", &[("name", "ada"), ("password", PASSWORD)]).await.0, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn set_up_link_makes_one_admin() {
    let world = World::new().await;
    let secret = world.app.as_ref().unwrap().appliance.set_up_link().unwrap();
    let mut browser = Browser::of(&world);
    assert_eq!(browser.get("/setup?token=wrong").await.0, 403);
    assert_eq!(browser.get(&format!("/setup?token={secret}")).await.0, 200);
    let short = [("token", &*secret), ("name", "ada"), ("password", "short")];
    let (status, _, page) = browser.post("/setup", &short).await;
    assert!(status == 400 && page.contains("Set up Tidegate"), "{status} {page}");
    let good = [("token", &*secret), ("name", "ada"), ("password", PASSWORD)];
    assert_eq!(browser.post("/setup", &good).await.0, 303);
    assert_eq!(browser.get("/settings/users").await.0, 200);
    let (_, _, page) = browser.get("/settings/audit").await;
    assert!(page.contains("set-up link") && page.contains("POST /login"), "{page}");
    let eve = [("token", &*secret), ("name", "eve"), ("password", PASSWORD)];
    assert_eq!(browser.post("/setup", &eve).await.0, 403);
    assert_eq!(world.app.as_ref().unwrap().appliance.set_up_link(), None);
}

/// A form of another site brings the cookie along where the browser lets it; the origin tells.
#[tokio::test(flavor = "multi_thread")]
async fn forms_of_other_sites_change_nothing() {
    let world = World::new().await;
    let call = world
        .call("POST", "/settings/tokens")
        .header("sec-fetch-site", "cross-site")
        .header("content-type", "application/x-www-form-urlencoded")
        .bytes("name=ci&role=admin");
    assert_eq!(call.send().await.status, 403);
    assert!(!world.app.as_ref().unwrap().appliance.is_set_up());
}
