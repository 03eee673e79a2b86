//! MULTI to EXEC.

use crate::front::resp::multi::{QUEUED_BYTES_MAX, QUEUED_MAX};
use crate::front::resp::world::{default_world, frame};

const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.|";

#[tokio::test]
async fn exec_answers_all_in_order() {
    let world = default_world().await;
    let lines = [
        ("MULTI", "+OK|"),
        ("SET k 1", "+QUEUED|"),
        ("INCR k", "+QUEUED|"),
        ("LPUSHX", "-ERR unknown command 'LPUSHX', with args beginning with: |"),
        ("EXEC", ABORTED),
        ("GET k", "$-1|"),
        ("MULTI", "+OK|"),
        ("SET k 1", "+QUEUED|"),
        ("INCR k", "+QUEUED|"),
        ("XADD k * f v", "+QUEUED|"),
        ("XADD s 5-0 f v", "+QUEUED|"),
        ("XADD s 5-0 f", "-ERR wrong number of arguments for 'xadd' command|"),
        ("EXEC", ABORTED),
        ("MULTI", "+OK|"),
        ("SET k 1", "+QUEUED|"),
        ("INCR k", "+QUEUED|"),
        ("XADD k * f v", "+QUEUED|"),
        ("XADD s 5-0 f v", "+QUEUED|"),
        ("XADD s x f v", "+QUEUED|"),
        ("XADD s 5-0 f v", "+QUEUED|"),
        ("PING", "+QUEUED|"),
        (
            "EXEC",
            "*7|+OK|:2|-WRONGTYPE Operation against a key holding the wrong kind of value|$3|5-0|\
             -ERR Invalid stream ID specified as stream command argument|\
             -ERR The ID specified in XADD is equal or smaller than the target stream top item|\
             +PONG|",
        ),
        ("MULTI", "+OK|"),
        ("EXEC", "*0|"),
    ];
    world.client().await.story(&lines).await;
    world.stops().await;
}

#[tokio::test]
async fn only_what_belongs_to_it_is_queued() {
    let world = default_world().await;
    let lines = [
        ("EXEC", "-ERR EXEC without MULTI|"),
        ("DISCARD", "-ERR DISCARD without MULTI|"),
        ("MULTI", "+OK|"),
        ("MULTI", "-ERR MULTI calls can not be nested|"),
        ("SET k 1", "+QUEUED|"),
        // Lines of help were given at once.
        ("XINFO HELP x", "-ERR unknown subcommand 'HELP'. Try XINFO HELP.|"),
        ("DISCARD", "+OK|"),
        ("MULTI", "+OK|"),
        ("XINFO HELP", "+QUEUED|"),
        ("GET k", "+QUEUED|"),
        ("DISCARD", "+OK|"),
        ("GET k", "$-1|"),
        ("EXEC", "-ERR EXEC without MULTI|"),
    ];
    world.client().await.story(&lines).await;
    world.stops().await;
}

#[tokio::test]
async fn select_counts_from_its_place_on() {
    let world = default_world().await;
    let lines = [
        ("MULTI", "+OK|"),
        ("SET k 0", "+QUEUED|"),
        ("SELECT 3", "+QUEUED|"),
        ("SET k 3", "+QUEUED|"),
        ("SELECT 99", "+QUEUED|"),
        ("EXEC", "*4|+OK|+OK|+OK|-ERR DB index is out of range|"),
        ("GET k", "$1|3|"),
        // Nothing done, nothing moved.
        ("MULTI", "+OK|"),
        ("SELECT 5", "+QUEUED|"),
        ("DISCARD", "+OK|"),
        ("GET k", "$1|3|"),
        ("MULTI", "+OK|"),
        ("SELECT 5", "+QUEUED|"),
        ("NOPE", "-ERR unknown command 'NOPE', with args beginning with: |"),
        ("EXEC", ABORTED),
        ("GET k", "$1|3|"),
        ("SELECT 0", "+OK|"),
        ("GET k", "$1|0|"),
    ];
    world.client().await.story(&lines).await;
    world.stops().await;
}

#[tokio::test]
async fn nobody_waits_within_one() {
    let world = default_world().await;
    let lines = [
        ("XGROUP CREATE s g $ MKSTREAM", "+OK|"),
        ("MULTI", "+OK|"),
        ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "+QUEUED|"),
        ("XREAD BLOCK 0 STREAMS s $", "+QUEUED|"),
        ("XADD s 1-0 f v", "+QUEUED|"),
        ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "+QUEUED|"),
        ("EXEC", "*4|*-1|*-1|$3|1-0|*1|*2|$1|s|*1|*2|$3|1-0|*2|$1|f|$1|v|"),
    ];
    world.client().await.story(&lines).await;
    world.stops().await;
}

/// It emptied a piece of the database and said OK.
#[tokio::test]
async fn flush_within_one_leaves_nothing() {
    const KEYS: usize = 12_000;
    let world = default_world().await;
    let mut client = world.client().await;
    let mut keys = String::from("MSET");
    for key in 0..KEYS {
        keys += &format!(" k{key} v");
    }
    client
        .story(&[
            (&keys, "+OK|"),
            ("MULTI", "+OK|"),
            ("FLUSHDB", "+QUEUED|"),
            ("FLUSHALL NOW", "+QUEUED|"),
            ("DBSIZE", "+QUEUED|"),
            ("EXEC", "*3|+OK|-ERR syntax error|:0|"),
            (&keys, "+OK|"),
            ("FLUSHALL ASYNC", "+OK|"),
            ("DBSIZE", ":0|"),
        ])
        .await;
    world.stops().await;
}

#[tokio::test]
async fn commands_of_one_are_bounded() {
    let world = default_world().await;
    let mut client = world.client().await;
    let too_many = format!(
        "-ERR a transaction holds at most {QUEUED_MAX} commands and {QUEUED_BYTES_MAX} bytes|"
    );
    // Also those that the connection answers itself: they had no bound at all.
    assert_eq!(client.ask("MULTI").await, "+OK|");
    client.send(frame("PING").repeat(QUEUED_MAX)).await;
    let mut seen = vec![0; "+QUEUED\r\n".len() * QUEUED_MAX];
    tokio::io::AsyncReadExt::read_exact(&mut client.socket, &mut seen).await.unwrap();
    client.story(&[("PING", &too_many), ("PING", "+QUEUED|"), ("EXEC", ABORTED)]).await;

    let value = "x".repeat(8 << 20);
    let set = format!("SET k {value}");
    client
        .story(&[
            ("MULTI", "+OK|"),
            (&set, "+QUEUED|"),
            (&set, "+QUEUED|"),
            (&set, "+QUEUED|"),
            (&set, &too_many),
            ("EXEC", ABORTED),
            ("EXISTS k", ":0|"),
        ])
        .await;
    world.stops().await;
}

/// A writer that takes nothing any more must not look like a transaction that was run.
#[tokio::test]
async fn one_that_is_turned_away_is_aborted() {
    let world = default_world().await;
    let mut client = world.client().await;
    client.story(&[("MULTI", "+OK|"), ("SELECT 1", "+QUEUED|"), ("SET k v", "+QUEUED|")]).await;
    let client = world.stop_writer(client).await;
    let mut client = client;
    client
        .story(&[(
            "EXEC",
            "-EXECABORT Transaction discarded because of: LOADING the appliance is stopping; \
             nothing was done|",
        )])
        .await;
}
