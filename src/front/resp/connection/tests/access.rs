//! AUTH, and what each role may, in Redis's own words.

use std::time::Duration;

use crate::appliance::access::NewToken;
use crate::base::name::Name;
use crate::front::resp::door::Settings;
use crate::front::resp::parse::{OF_CONNECTION, entries};
use crate::front::resp::world::{World, default_world, frame, world};
use crate::model::access::{Bounds, Role};

const SHORT: Duration = Duration::from_millis(200);
const NOAUTH: &str = "-NOAUTH Authentication required.|";
const WRONGPASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.|";

async fn token(world: &World, role: Role, org: Option<&str>) -> (crate::base::id::Id, String) {
    let wish = NewToken {
        name: Name::new(&format!("a-{}", role.as_str())).unwrap(),
        role,
        bounds: Bounds { org: org.map(|org| Name::new(org).unwrap()), env: None },
        expires_at: None,
    };
    let (token, secret) = world.appliance().create_token(wish).await.unwrap();
    (token.id, secret)
}

#[tokio::test]
async fn clients_prove_who_they_are_first() {
    let world = default_world().await;
    let mut early = world.client().await;
    early.story(&[("SET k v", "+OK|")]).await;
    let (_, secret) = token(&world, Role::Worker, None).await;
    // One that was there before has to, too.
    early.story(&[("GET k", NOAUTH)]).await;
    let mut client = world.client().await;
    client
        .story(&[
            ("PING", NOAUTH),
            ("GET k", NOAUTH),
            ("SET k", "-ERR wrong number of arguments for 'set' command|"),
            ("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: |"),
            ("MULTI", NOAUTH),
            ("AUTH wrong", WRONGPASS),
            (&format!("AUTH anyone {secret}"), "+OK|"),
            ("GET k", "$1|v|"),
            ("RESET", "+RESET|"),
            ("GET k", NOAUTH),
            (&format!("AUTH {secret}"), "+OK|"),
            ("GET k", "$1|v|"),
        ])
        .await;
    let mut newer = world.client().await;
    assert!(newer.ask("HELLO 3").await.starts_with("-NOAUTH HELLO must be called"));
    assert_eq!(newer.ask("HELLO 3 AUTH default wrong").await, WRONGPASS);
    assert!(newer.ask(&format!("HELLO 3 AUTH default {secret}")).await.starts_with("%7|"));
    assert_eq!(newer.ask("GET k").await, "$1|v|");
    world.stops().await;
}

#[tokio::test]
async fn revoked_tokens_end_in_open_connections_too() {
    let world = default_world().await;
    let (id, secret) = token(&world, Role::Worker, None).await;
    let mut client = world.client().await;
    client.story(&[(&format!("AUTH {secret}"), "+OK|"), ("PING", "+PONG|")]).await;
    world.appliance().revoke_token(id).await.unwrap();
    client.story(&[("PING", NOAUTH), (&format!("AUTH {secret}"), WRONGPASS)]).await;
    world.stops().await;
}

/// A reader that waits without an end went on getting entries.
#[tokio::test]
async fn revoked_tokens_end_what_they_wait_for() {
    let settings = Settings { proof_every: SHORT, ..Settings::default() };
    let world = world(settings).await;
    let (id, secret) = token(&world, Role::Worker, None).await;
    let mut client = world.client().await;
    client.story(&[(&format!("AUTH {secret}"), "+OK|")]).await;
    client.say("XREAD BLOCK 0 STREAMS s $").await;
    world.parked(1).await;
    world.appliance().revoke_token(id).await.unwrap();
    assert_eq!(client.reply().await, "*-1|");
    client.story(&[("PING", NOAUTH)]).await;
    world.stops().await;
}

/// What strangers may send and how long they may stay was without a bound of its own.
#[tokio::test]
async fn strangers_hold_neither_seats_nor_memory() {
    let world = world(Settings { request_timeout: SHORT, ..Settings::default() }).await;
    let (_, secret) = token(&world, Role::Worker, None).await;
    let mut known = world.client().await;
    known.story(&[(&format!("AUTH {secret}"), "+OK|")]).await;
    let mut large = world.client().await;
    large.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20000\r\n").await;
    assert_eq!(large.rest().await, "-ERR Protocol error: unauthenticated bulk length|");
    let mut many = world.client().await;
    many.send(b"*11\r\n").await;
    assert_eq!(many.rest().await, "-ERR Protocol error: unauthenticated multibulk length|");
    // In one pipeline with the proof it is taken.
    let value = "x".repeat(20_000);
    let mut proven = world.client().await;
    proven
        .send([frame(&format!("AUTH {secret}")), frame(&format!("SET k {value}"))].concat())
        .await;
    assert_eq!([proven.reply().await, proven.reply().await], ["+OK|", "+OK|"]);
    // Those that only ask, and those that only wait, go; whoever is known may stay silent.
    let mut asking = world.client().await;
    asking.story(&[("PING", NOAUTH)]).await;
    let silent = world.client().await;
    assert_eq!([asking.rest().await, silent.rest().await], ["", ""]);
    known.story(&[("GET nothing", "$-1|")]).await;
    proven.story(&[("STRLEN k", ":20000|")]).await;
    world.stops().await;
}

#[tokio::test]
async fn roles_may_what_the_table_says() {
    let world = default_world().await;
    for role in Role::ALL.iter().copied() {
        let (_, secret) = token(&world, role, None).await;
        let names = entries()
            .map(|entry| (entry.name, entry.arity))
            .chain(OF_CONNECTION.iter().copied())
            // Those end the conversation, or wait in it.
            .filter(|(name, _)| !["quit", "auth", "hello", "reset", "multi"].contains(name));
        for (name, arity) in names {
            let mut client = world.client().await;
            assert_eq!(client.ask(&format!("AUTH {secret}")).await, "+OK|");
            let request = match name {
                // An unknown subcommand is told of before anything else.
                "xgroup" => "xgroup destroy x x".to_owned(),
                "xinfo" => "xinfo stream x".to_owned(),
                _ => format!("{name}{}", " x".repeat(arity.unsigned_abs() as usize - 1)),
            };
            let reply = client.ask(&request).await;
            let needs = crate::front::resp::needs::needs_of(name).unwrap();
            let may = role.may(needs);
            assert_eq!(reply.starts_with("-NOPERM"), !may, "{role:?} {name}: {reply}");
            assert!(!reply.starts_with("-NOAUTH"), "{role:?} {name}: {reply}");
        }
    }
    world.stops().await;
}

#[tokio::test]
async fn refused_commands_spoil_a_transaction() {
    let world = default_world().await;
    let (_, secret) = token(&world, Role::Viewer, None).await;
    let denied = |name: &str| {
        format!("-NOPERM User a-viewer has no permissions to run the '{name}' command|")
    };
    world
        .client()
        .await
        .story(&[
            (&format!("AUTH {secret}"), "+OK|"),
            ("MULTI", "+OK|"),
            ("GET k", "+QUEUED|"),
            ("SET k v", &denied("set")),
            ("EXEC", "-EXECABORT Transaction discarded because of previous errors.|"),
            ("XGROUP CREATE s g $ MKSTREAM", &denied("xgroup|create")),
            ("FLUSHALL", &denied("flushall")),
        ])
        .await;
    world.stops().await;
}

#[tokio::test]
async fn bound_tokens_shake_hands_and_no_more() {
    let world = default_world().await;
    let (_, secret) = token(&world, Role::Worker, Some("acme")).await;
    let denied = "-NOPERM User a-worker has no permissions to run the 'xlen' command|";
    world
        .client()
        .await
        .story(&[(&format!("AUTH {secret}"), "+OK|"), ("PING", "+PONG|"), ("XLEN s", denied)])
        .await;
    world.stops().await;
}

#[tokio::test]
async fn guesses_are_slowed() {
    let world = default_world().await;
    let (_, secret) = token(&world, Role::Worker, None).await;
    let mut client = world.client().await;
    for _ in 0..6 {
        assert_eq!(client.ask("AUTH wrong").await, WRONGPASS);
    }
    assert!(client.ask("AUTH wrong").await.starts_with("-ERR too many wrong tokens"));
    assert_eq!(world.appliance().failed_attempts(), 7);
    // Whoever has the right one is not kept out by others.
    assert_eq!(client.ask(&format!("AUTH {secret}")).await, "+OK|");
    world.stops().await;
}

#[tokio::test]
async fn flushes_are_audited() {
    let world = default_world().await;
    let (_, secret) = token(&world, Role::Operator, None).await;
    let mut client = world.client().await;
    client
        .story(&[
            (&format!("AUTH {secret}"), "+OK|"),
            ("SET k v", "+OK|"),
            ("FLUSHALL", "+OK|"),
            ("MULTI", "+OK|"),
            ("FLUSHDB", "+QUEUED|"),
            ("EXEC", "*1|+OK|"),
        ])
        .await;
    let lines = world.appliance().audit(None, 9).unwrap();
    let told: Vec<(&str, &str)> =
        lines.iter().map(|line| (line.who.as_str(), line.action.as_str())).collect();
    let who = "token a-operator";
    assert_eq!(told, [(who, "EXEC of FLUSHDB"), (who, "FLUSHALL")]);
    world.stops().await;
}
