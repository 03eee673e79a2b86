//! Every page of a full appliance, with names that try to be HTML: nothing of them becomes any, and a
//! real browser asks nobody but the appliance for anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tidegate::front::dashboard::PAGES;

use crate::receiver::Reply;
use crate::world::{World, eventually, id_of};

/// Where it came through as HTML, a browser would call that address, and run the script.
const HOSTILE: &str = "\"'><img src=//evil.invalid/x onerror=alert(1)>&";
/// The same in a path of a URL.
const HOSTILE_IN_PATH: &str = "%22'%3E%3Cimg%20src=%2F%2Fevil.invalid%2Fx%20onerror=alert(1)%3E&";
/// Pages of one kind that are looked at.
const OF_A_KIND_MAX: usize = 3;
/// Pages that are looked at in all.
const PAGES_MAX: usize = 200;

/// Something of everything, and wherever a text is free it is hostile.
async fn full() -> World {
    let alerts = json!({ "rules": [{ "name": "delayed", "metric": "runs", "subject": "delayed",
        "threshold": 0, "cooldown": "1s" }] });
    let world = World::build().buffered().alerts(alerts).start().await;
    let once = json!({ "retry": { "max_attempts": 1, "delays": ["1s"] } });
    world.task("push", once.clone()).await;
    world.task("bad", once).await;
    world.receiver.always("/bad", Reply::bytes(500, HOSTILE.as_bytes().to_vec()));
    let pull = json!({ "delivery": { "pull": { "stream": "work" } } });
    world.put("/v1/tasks/pull", pull).await.is(201);
    let run = |task: &str| {
        json!({ "task": task, "payload": { HOSTILE: HOSTILE }, "tags": [HOSTILE],
            "metadata": { HOSTILE: HOSTILE }, "context": { HOSTILE: HOSTILE },
            "idempotency_key": format!("{task} {HOSTILE}"), "concurrency_key": HOSTILE })
    };
    let mut ids = BTreeMap::new();
    for task in ["push", "bad", "pull"] {
        let mut body = run(task);
        if task == "pull" {
            body.as_object_mut().unwrap().remove("concurrency_key");
        }
        ids.insert(task, id_of(&world.create(body).await));
    }
    world.create(json!({ "task": "push", "delay": "1h", "tags": [HOSTILE] })).await;
    world.finished(&ids["bad"]).await;
    let path = |id: &str, act: &str| format!("/v1/runs/{id}/{act}");
    let canceled = id_of(&world.create(json!({ "task": "push", "delay": "1h" })).await);
    world.post(&path(&canceled, "cancel"), json!({ "reason": HOSTILE })).await.is(200);
    let failed = id_of(&world.create(json!({ "task": "pull" })).await);
    let error = json!({ "error": { "code": "a", "message": HOSTILE }, "retryable": false });
    world.post(&path(&failed, "fail"), error).await;
    let given = json!({ "kind": "kind", "key": HOSTILE, "result": { HOSTILE: HOSTILE } });
    world.post(&path(&ids["pull"], "deliveries"), given).await;
    world.post(&path(&ids["pull"], "callbacks"), json!({})).await;
    // Streams, groups, consumers and workers have any name.
    let stream = format!("/v1/streams/{HOSTILE_IN_PATH}");
    world.post(&format!("{stream}/entries"), json!({ "fields": { HOSTILE: HOSTILE } })).await;
    let group = format!("{stream}/groups/{HOSTILE_IN_PATH}");
    world.put(&group, json!({ "start": "0" })).await;
    world.post(&format!("{group}/read"), json!({ "consumer": HOSTILE, "count": 1 })).await;
    let worker = format!("/v1/workers/{HOSTILE_IN_PATH}/{HOSTILE_IN_PATH}/heartbeat");
    world.post(&worker, json!({ "task_limit": 1, "info": { HOSTILE: HOSTILE } })).await;
    let pause = json!({ "scope": "task:push", "reason": HOSTILE, "until": "1h" });
    world.post("/v1/outbox/pauses", pause).await.is(201);
    let batch = json!({ "items": [{ "task": "push", "tags": [HOSTILE] }] });
    world.post("/v1/batches", batch).await.is(201);
    let sharded = json!({ "task": "push", "items": [HOSTILE, HOSTILE], "window": HOSTILE });
    world.post("/v1/sharded-runs", sharded).await;
    let schedule = json!({ "cron": "@hourly", "task": "push", "payload": HOSTILE });
    world.put("/v1/schedules/nightly", schedule).await.is(201);
    world.post("/v1/schedules/nightly/run", json!({})).await.is(201);
    let bulk = json!({ "filter": { "tag": HOSTILE }, "action": "cancel", "dry_run": true });
    world.post("/v1/runs/bulk", bulk).await;
    let silence = json!({ "subject": HOSTILE, "reason": HOSTILE, "for": "1h" });
    world.post("/v1/silences", silence).await;
    world.post("/v1/admin/backup", json!({ "name": "b" })).await.is(202);
    world.until("/v1/alerts", |page| page.to_string().contains("firing")).await;
    world.until("/v1/admin/backups", |page| page["backups"][0]["state"] == "done").await;
    world
}

/// The kind of page that a path is.
fn kind_of(path: &str) -> Option<&'static str> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let fits = |kind: &str| {
        let (given, wanted): (Vec<_>, Vec<_>) =
            (path.split('/').collect(), kind.split('/').collect());
        given.len() == wanted.len()
            && given.iter().zip(&wanted).all(|(part, of)| of.starts_with('{') || part == of)
    };
    let mut pages = PAGES.iter().filter(|page| page.method == "GET");
    let exact = pages.clone().find(|page| page.path == path);
    exact.or_else(|| pages.find(|page| fits(page.path))).map(|page| page.path)
}

/// Every page that another one leads to, with its text; a few of each kind.
async fn walk(world: &World) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut kinds = BTreeMap::<&str, usize>::new();
    let mut next = vec!["/".to_owned(), "/login".to_owned(), "/jobs".to_owned()];
    while let Some(path) = next.pop() {
        let Some(kind) = kind_of(&path) else { continue };
        let count = kinds.entry(kind).or_default();
        if found.contains_key(&path) || *count >= OF_A_KIND_MAX {
            continue;
        }
        *count += 1;
        let answer = world.call("GET", &path).header("accept", "text/html").send().await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let text = String::from_utf8(answer.body).unwrap();
        for link in text.split("href=\"").skip(1) {
            let link = link.split('"').next().unwrap().replace("&#38;", "&");
            if link.starts_with('/') && !link.starts_with("//") {
                next.push(link);
            }
        }
        found.insert(path, text);
        assert!(found.len() < PAGES_MAX, "too many pages: {:?}", found.keys());
    }
    // The way in of a fresh appliance is in its log only.
    let kinds: BTreeSet<&str> = kinds.into_keys().chain(["/setup"]).collect();
    let all = PAGES.iter().filter(|page| page.method == "GET").map(|page| page.path);
    let missed: Vec<&str> = all.filter(|kind| !kinds.contains(kind)).collect();
    assert_eq!(missed, [""; 0], "pages that no other leads to");
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_are_text_on_every_page() {
    let world = full().await;
    let pages = walk(&world).await;
    let mut shown = 0;
    for (path, text) in &pages {
        assert!(!text.contains("<img") && !text.contains("\"'>"), "{path}: {text}");
        shown += usize::from(text.contains("&#60;img") || text.contains("&lt;img"));
        for script in text.split("<script").skip(1) {
            assert!(script.starts_with(" src=\"/assets/"), "{path}: {script}");
        }
        // Nothing that the policy of contents would have to stop.
        for inline in ["style=\"", " onerror=\"", " onclick=\"", "javascript:"] {
            assert!(!text.contains(inline), "{path} has {inline}");
        }
    }
    println!("{shown} of {} pages show such a name", pages.len());
    assert!(shown >= 12, "only {shown} of {} pages show such a name", pages.len());
}

/// Chromium without a window, over a profile of its own; ended when it is dropped.
struct Chromium {
    child: Child,
    url: String,
}

impl Chromium {
    /// `None` where there is none.
    async fn start(dir: &Path, log: &Path) -> Option<Chromium> {
        let child = Command::new("chromium")
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            // What a browser asks for of its own is not what pages ask for.
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--disable-default-apps"])
            .args(["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"])
            .args(["--remote-debugging-port=0", "--remote-allow-origins=*", "about:blank"])
            .arg(format!("--user-data-dir={}", dir.display()))
            .arg(format!("--log-net-log={}", log.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            eprintln!("SKIPPED: no `chromium` here");
            return None;
        };
        let port = dir.join("DevToolsActivePort");
        let port = eventually("the browser", async || {
            let text = std::fs::read_to_string(&port).map_err(|error| error.to_string())?;
            text.lines().next().map(str::to_owned).ok_or_else(|| "no port yet".to_owned())
        });
        let url = format!("http://127.0.0.1:{}", port.await);
        Some(Chromium { child, url })
    }

    /// Ends it in order, so that its log is whole.
    fn end(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every address that was asked for, with who wanted it. The log has a line for each event, and is
/// not closed by a browser that is told to end.
fn requests(log: &Path) -> Vec<(String, String)> {
    let log = std::fs::read(log).unwrap();
    let log = String::from_utf8_lossy(&log);
    let (constants, events) = log.split_once("\"events\": [").expect("a log with events");
    let constants = format!("{}}}", constants.trim_end().trim_end_matches(','));
    let constants: Value = serde_json::from_str(&constants).expect("constants");
    let kind = constants["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"].as_u64();
    let kind = kind.expect("this browser still has this kind of event");
    let events = events.lines().map(|line| line.trim().trim_end_matches(','));
    let events = events.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let events = events.filter(|event| event["type"].as_u64() == Some(kind));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events.map(|of| (text(&of["params"]["url"]), text(&of["params"]["initiator"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_ask_nobody_else_for_anything() {
    let world = full().await;
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("net.json");
    let Some(browser) = Chromium::start(&dir.path().join("profile"), &log).await else { return };
    let tabs = crate::world::Client::new(browser.url.clone());
    let pages: Vec<String> = walk(&world).await.into_keys().collect();
    for path in &pages {
        // The browser decodes it once before it goes there.
        let url = format!("{}{path}", world.url);
        let url: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
        let tab = tabs.call("PUT", &format!("/json/new?{url}")).send().await.is(200);
        let id = tab["id"].as_str().unwrap().to_owned();
        // The title is that of the page once it is read, and its scripts were run before.
        eventually(path, async || {
            let all = tabs.get("/json/list").await.json();
            let tab = all.as_array().unwrap().iter().find(|tab| tab["id"] == id.as_str());
            match tab.map(|tab| tab["title"].as_str().unwrap_or_default().to_owned()) {
                Some(title) if title.ends_with("· Tidegate") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        if path == "/" {
            tabs.get(&format!("/json/activate/{id}")).await;
            eventually("a page that listens", async || {
                let told = world.get("/metrics").await;
                match String::from_utf8_lossy(&told.body).contains("tidegate_listeners 1") {
                    true => Ok(()),
                    false => Err("nobody listens".to_owned()),
                }
            })
            .await;
        }
        tabs.get(&format!("/json/close/{id}")).await;
    }
    browser.end();
    let ours = format!("{}/", world.url);
    let mut seen = BTreeSet::new();
    for (url, initiator) in requests(&log) {
        let is_of_page = initiator == world.url || url.contains("evil");
        assert!(!is_of_page || url.starts_with(&ours), "{initiator} asked for {url}");
        seen.extend(url.strip_prefix(&world.url).map(str::to_owned));
    }
    for path in &pages {
        let path = path.split('#').next().unwrap();
        assert!(seen.iter().any(|seen| seen.starts_with(path)), "{path} was not opened: {seen:?}");
    }
    for part in ["/assets/tidegate-", "/assets/live-", "/assets/theme-", "/v1/live"] {
        assert!(
            seen.iter().any(|seen| seen.starts_with(part)),
            "no page asked for {part}: {seen:?}"
        );
    }
}
