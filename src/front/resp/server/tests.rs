//! The server against clients that are slow, deaf, silent, or too many.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::front::resp::door::Settings;
use crate::front::resp::world::{PATIENCE, closed, default_world, frame, world};

const SHORT: Duration = Duration::from_millis(200);

/// A client that sent one byte each moment started its time anew with each of them, and could keep
/// a connection and its buffer for ever.
#[tokio::test]
async fn trickled_request_has_one_deadline() {
    let world = world(Settings { request_timeout: SHORT, ..Settings::default() }).await;
    for (start, more) in [("*3\r\n$3\r\nSET\r\n$9000\r\n", "x"), ("SET a ", "x"), ("*1", "0")] {
        let (mut from, mut to) = world.socket().await.into_split();
        to.write_all(start.as_bytes()).await.unwrap();
        let trickle = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            while to.write_all(more.as_bytes()).await.is_ok() {
                tick.tick().await;
            }
        });
        let _ = from.read_to_end(&mut Vec::new()).await;
        tokio::time::timeout(PATIENCE, trickle).await.unwrap().unwrap();
    }
    world.stops().await;
}

/// The time is that of a request, not of the connection.
#[tokio::test]
async fn slow_requests_in_time_are_served() {
    let world = world(Settings { request_timeout: SHORT, ..Settings::default() }).await;
    let mut client = world.client().await;
    for _ in 0..4 {
        client.send("*1\r\n$4\r\nPI").await;
        tokio::time::sleep(SHORT / 3).await;
        // The rest of this one, and the start of the next.
        client.send("NG\r\n*1\r\n$4\r\n").await;
        assert_eq!(client.reply().await, "+PONG|");
        tokio::time::sleep(SHORT / 3).await;
        client.send("PING\r\n").await;
        assert_eq!(client.reply().await, "+PONG|");
    }
    world.stops().await;
}

#[tokio::test]
async fn silent_client_is_left_alone() {
    let world = world(Settings { request_timeout: SHORT, ..Settings::default() }).await;
    let mut client = world.client().await;
    assert_eq!(client.ask("PING").await, "+PONG|");
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(client.ask("PING").await, "+PONG|");
    world.stops().await;
}

#[tokio::test]
async fn deaf_client_is_dropped() {
    let world = world(Settings { write_stall_timeout: SHORT, ..Settings::default() }).await;
    let mut client = world.client().await;
    let value = "x".repeat(1 << 20);
    assert_eq!(client.ask(&format!("SET k {value}")).await, "+OK|");
    client.send(frame("GET k").repeat(64)).await;
    world.until(|| world.door.connected() == 0).await;
    world.stops().await;
}

/// Many clients send a whole pipeline before they read the first reply. The server stopped reading
/// while it could not write: both waited for each other until one of them gave up.
#[tokio::test]
async fn long_pipeline_is_read_ahead() {
    const COUNT: usize = 10_000;
    let world = default_world().await;
    let mut client = world.client().await;
    let text = "x".repeat(100);
    let value = "y".repeat(1_000);
    assert_eq!(client.ask(&format!("SET k {value}")).await, "+OK|");
    // Small sockets: what the system buffers must not hide it.
    let socket = socket2::SockRef::from(&client.socket);
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.set_send_buffer_size(64 << 10).unwrap();
    let requests = [frame(&format!("ECHO {text}")), frame("GET k")].concat();
    let sent = client.send(requests.repeat(COUNT));
    tokio::time::timeout(PATIENCE, sent).await.expect("all of it is taken");
    let replies = format!("$100\r\n{text}\r\n$1000\r\n{value}\r\n").repeat(COUNT);
    let mut seen = vec![0; replies.len()];
    client.socket.read_exact(&mut seen).await.unwrap();
    assert!(seen == replies.as_bytes(), "the replies come in order");
    world.stops().await;
}

#[tokio::test]
async fn clients_above_the_limit_hear_so() {
    let world = world(Settings { connections_max: 2, ..Settings::default() }).await;
    let mut first = world.client().await;
    let mut second = world.client().await;
    assert_eq!(first.ask("PING").await, "+PONG|");
    assert_eq!(second.ask("PING").await, "+PONG|");
    let mut third = world.client().await;
    // It speaks first, as clients do; its bytes must not turn the answer into a reset.
    third.say("HELLO 3").await;
    assert_eq!(third.rest().await, "-ERR max number of clients reached|");
    drop(second);
    world.until(|| world.door.connected() == 1).await;
    // Its seat is free a moment after it is off the list.
    for _ in 0..100 {
        let mut fourth = world.client().await;
        fourth.say("PING").await;
        if fourth.reply().await == "+PONG|" {
            return world.stops().await;
        }
    }
    panic!("no seat became free");
}

#[tokio::test]
async fn stop_finishes_what_is_there() {
    let world = default_world().await;
    let mut silent = world.client().await;
    assert_eq!(silent.ask("PING").await, "+PONG|");
    let mut blocked = world.client().await;
    blocked.say("XREAD BLOCK 0 STREAMS s $").await;
    world.parked(1).await;
    world.stop.cancel();
    assert_eq!(blocked.rest().await, "*-1|");
    assert_eq!(silent.rest().await, "");
    world.stops().await;
}

/// They were told to end and then left to themselves.
#[tokio::test]
async fn stop_cuts_who_does_not_end() {
    let world = world(Settings { drain_timeout: SHORT, ..Settings::default() }).await;
    let mut deaf = world.client().await;
    assert_eq!(deaf.ask(&format!("SET k {}", "x".repeat(1 << 20))).await, "+OK|");
    deaf.send(frame("GET k").repeat(64)).await;
    world.until(|| world.door.requests.load(std::sync::atomic::Ordering::Relaxed) > 1).await;
    let door = world.door.clone();
    world.stops().await;
    assert_eq!(door.connected(), 0);
}

/// Clients take an answer to their login for the last word.
#[tokio::test]
async fn first_requests_wait_for_the_store_to_open() {
    let settings = Settings { opening_wait: Duration::from_secs(60), ..Settings::default() };
    let world = closed(settings.clone()).await;
    let mut client = world.client().await;
    client.send([frame("AUTH default secret"), frame("PING")].concat()).await;
    world.until(|| world.door.connected() == 1).await;
    world.open();
    assert_eq!((client.reply().await, client.reply().await), ("+OK|".into(), "+PONG|".into()));
    world.stops().await;
    // A stop does not wait for it.
    let world = closed(settings).await;
    let _client = world.client().await;
    world.until(|| world.door.connected() == 1).await;
    world.stops().await;
}

#[tokio::test]
async fn clients_hear_that_the_store_opens() {
    let settings = Settings { opening_wait: Duration::ZERO, ..Settings::default() };
    let world = closed(settings).await;
    let mut client = world.client().await;
    let loading = "-LOADING tidegate is opening its store|";
    client
        .story(&[
            ("CLIENT SETINFO LIB-NAME x", "+OK|"),
            ("SELECT 1", "+OK|"),
            ("PING", loading),
            // Whether it wants a password stands in the store.
            ("AUTH secret", loading),
            ("AUTH default secret", loading),
            ("HELLO 3 AUTH default secret", loading),
            ("GET k", loading),
            ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", loading),
            ("FLUSHALL", loading),
            ("MULTI", "+OK|"),
            ("SET k v", loading),
            ("EXEC", "-EXECABORT Transaction discarded because of previous errors.|"),
            ("QUIT", "+OK|"),
        ])
        .await;
    let mut client = world.client3().await;
    assert!(client.ask("INFO persistence").await.contains("loading:1|"));
    world.open();
    assert!(client.ask("INFO persistence").await.contains("loading:0|"));
    assert_eq!(client.ask("PING").await, "+PONG|");
    world.stops().await;
}
