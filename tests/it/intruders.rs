//! Who has no business here: guesses over every door, tokens that are over while something listens
//! with them, paths that try to lead elsewhere.

use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tidegate::cli::beside::Ask;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{PATIENCE, World};

const PASSWORD: &str = "correct horse battery";

/// A token, made the way in that the command line has.
async fn token(world: &World, role: &str) -> (String, String) {
    let wish = json!({ "name": role, "role": role });
    let made = world.ask(Ask::new(Method::POST, "/v1/tokens").body(wish)).await.unwrap();
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    (text("id"), text("token"))
}

async fn status_of(world: &World, token: &str) -> u16 {
    let call = world.call("GET", "/v1/status");
    call.header("authorization", &format!("Bearer {token}")).send().await.status
}

async fn audit(world: &World) -> String {
    world.ask(Ask::new(Method::GET, "/v1/audit")).await.unwrap().to_string()
}

/// What the Redis door says to one request of a connection of its own.
async fn redis(world: &World, request: &str) -> String {
    let mut stream = TcpStream::connect(world.redis.unwrap()).await.unwrap();
    stream.write_all(format!("{request}\r\nQUIT\r\n").as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said.lines().next().unwrap_or_default().to_owned()
}

/// Slowed over both doors, counted, told once; and who has the right one is let in all the while.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_of_tokens_are_slowed_and_told() {
    let world = World::new().await;
    let (_, right) = token(&world, "admin").await;
    let mut seen = Vec::new();
    for n in 0..20 {
        seen.push(status_of(&world, &format!("tidegate_{n}")).await);
        assert_eq!(status_of(&world, &right).await, 200);
    }
    assert_eq!(seen[..5], [401; 5]);
    assert_eq!(seen[8..], [429; 12], "{seen:?}");
    let said = redis(&world, "AUTH tidegate_x").await;
    assert!(said.starts_with("-ERR too many wrong tokens"), "{said}");
    assert_eq!(redis(&world, &format!("AUTH {right}")).await, "+OK");
    assert_eq!(redis(&world, "GET k").await, "-NOAUTH Authentication required.");
    let call = world.call("GET", "/v1/status").header("authorization", &format!("Bearer {right}"));
    let status = call.send().await.is(200);
    assert_eq!(status["access"]["failed_attempts"], 21);
    let told = audit(&world).await;
    assert_eq!(told.matches("too many wrong tokens").count(), 1, "{told}");
}

/// Somebody who guesses names from elsewhere kept their owners out for as long as they went on.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_from_elsewhere_lock_no_owner_out() {
    let world = World::new().await;
    let add = json!({ "name": "ada", "role": "admin", "password": PASSWORD });
    world.ask(Ask::new(Method::POST, "/v1/users").body(add)).await.unwrap();
    let sign_in = async |from: [u8; 4], password: &str| {
        let http = reqwest::Client::builder().no_proxy().local_address(IpAddr::from(from));
        let http = http.redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("name", "ada").append_pair("password", password);
        let sent = http
            .post(format!("{}/login", world.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.finish())
            .send();
        sent.await.unwrap().status().as_u16()
    };
    let (home, away, elsewhere) = ([127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 3]);
    assert_eq!(sign_in(home, PASSWORD).await, 303);
    let mut seen = Vec::new();
    for _ in 0..8 {
        seen.push(sign_in(away, "guess guess guess").await);
    }
    assert_eq!((seen[0], seen[7]), (401, 429), "{seen:?}");
    // From where nobody is signed in the name waits too; at home it does not.
    assert_eq!(sign_in(elsewhere, PASSWORD).await, 429);
    assert_eq!(sign_in(home, PASSWORD).await, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_of_the_set_up_link_are_slowed() {
    let world = World::new().await;
    world.app.as_ref().unwrap().appliance.set_up_link().unwrap();
    let mut seen = Vec::new();
    for n in 0..8 {
        seen.push(world.get(&format!("/setup?token={n}")).await.status);
    }
    assert_eq!((seen[0], seen[7]), (403, 429), "{seen:?}");
}

/// Whoever listened went on to hear everything, for as long as the connection lived.
#[tokio::test(flavor = "multi_thread")]
async fn revoked_tokens_hear_no_more() {
    let world = World::new().await;
    token(&world, "admin").await;
    for path in ["/v1/live", "/ws"] {
        let (id, viewer) = token(&world, "viewer").await;
        let address = world.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let upgrade = if path == "/ws" { upgrade } else { "connection: close\r\n" };
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {viewer}\r\n{upgrade}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains("hello") {
            let read = stream.read_buf(&mut said);
            let read = tokio::time::timeout(PATIENCE, read).await.expect("it greets").unwrap();
            assert_ne!(read, 0, "{path}: {}", String::from_utf8_lossy(&said));
        }
        let revoke = Ask::new(Method::DELETE, format!("/v1/tokens/{id}"));
        world.ask(revoke).await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{path} goes on");
    }
}

/// The status line and the head of the answer to a path as it stands.
async fn raw(world: &World, method: &str, path: &str) -> String {
    let address = world.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    // A reset is an end as well.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

/// Nothing is found by another spelling, and nothing beside the routes is there at all.
#[tokio::test(flavor = "multi_thread")]
async fn path_tricks_lead_nowhere() {
    let world = World::new().await;
    token(&world, "admin").await;
    let long = format!("/v1/runs/{}", "x".repeat(20_000));
    let longer = format!("/{}", "x".repeat(100_000));
    let mut seen = Vec::new();
    for path in [
        "/v1/../v1/status",
        "/healthz/../v1/status",
        "/healthz/%2e%2e/v1/status",
        "/assets/../v1/status",
        "/assets/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/assets/..%2f..%2ftidegate.redb",
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/tidegate.journal",
        "//v1/status",
        "//evil.example/v1/status",
        "/v1//status",
        "/v1/status/",
        "/v1/status%00",
        "/v1/status%20",
        "/v1/status;x=1",
        "/v1/%73tatus%2f",
        "/V1/STATUS",
        "/v1/runs/%2e%2e%2fstatus",
        "/v1/runs/%ff",
        "/v1/status\\..\\x",
        "/setup/../settings/tokens",
        "/login/%2e%2e/settings/tokens",
        "/docs%2f..%2fsettings",
        "/v1/status%0d%0aset-cookie:%20a=b",
        "/login?back=%0d%0aset-cookie:%20a=b",
        "/runs?x=%0d%0aset-cookie:%20a=b",
        "http://evil.example/v1/status",
        "*",
        &*long,
        &*longer,
    ] {
        for method in ["GET", "POST", "OPTIONS", "TRACE"] {
            let said = raw(&world, method, path).await;
            let shown: String = path.chars().take(60).collect();
            let status = said.split(' ').nth(1).unwrap_or_default().to_owned();
            let head = said.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
            assert!(!head.contains("set-cookie"), "{method} {shown}: {head}");
            let open = path.starts_with("/login?") && method == "GET";
            let is_no =
                matches!(&*status, "303" | "400" | "401" | "403" | "404" | "405" | "414" | "431");
            assert!(is_no || open && status == "200", "{method} {shown}: {said:.300}");
            seen.push(status);
        }
    }
    assert!(seen.iter().any(|status| status == "401") && seen.iter().any(|status| status == "404"));
}

/// A name of a backup is a name, not a path.
#[tokio::test(flavor = "multi_thread")]
async fn backups_stay_where_they_belong() {
    let world = World::new().await;
    let long = "x".repeat(1_000);
    for name in ["../x", "..", ".", "", "a/b", "/tmp/x", "a\0b", "a\r\nb", "a\\b", "-x", &*long] {
        let answer = world.post("/v1/admin/backup", json!({ "name": name })).await;
        let code: Value = answer.json()["error"]["code"].clone();
        assert!(answer.status == 400, "{name:.20}: {answer:?}");
        assert!(code.as_str().unwrap().starts_with("invalid_"), "{name:.20}: {code}");
    }
    for name in ["..%2f..%2fetc%2fpasswd", "%2e%2e", "x%00", "a%2fb"] {
        let answer = world.call("POST", &format!("/settings/backups/{name}/verify")).send().await;
        assert!(matches!(answer.status, 400 | 404), "{name}: {answer:?}");
    }
    let dir = world.data_dir();
    let left = std::fs::read_dir(dir.join("backups")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "nothing was written");
}
