//! Readers that wait: who is served, when, and with what.

use crate::front::resp::world::{Client, World, default_world, frame};

const NO_GROUP: &str =
    "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option|";
const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";

fn entry(id: &str) -> String {
    format!("*1|*2|$1|s|*1|*2|${}|{id}|*2|$1|f|$1|v|", id.len())
}

/// A group, and a client that waits for it as consumer `name`, the `count`th of those who wait.
async fn reader(world: &World, name: &str, count: usize) -> Client {
    let mut client = world.client().await;
    client.say(&format!("XREADGROUP GROUP g {name} BLOCK 0 COUNT 1 STREAMS s >")).await;
    world.parked(count).await;
    client
}

async fn with_group(world: &World) -> Client {
    let mut client = world.client().await;
    client.story(&[("XGROUP CREATE s g $ MKSTREAM", "+OK|")]).await;
    client
}

#[tokio::test]
async fn readers_of_a_group_are_served_in_order() {
    let world = default_world().await;
    let mut writer = with_group(&world).await;
    let mut readers = Vec::new();
    for (place, name) in ["z", "a", "m"].into_iter().enumerate() {
        readers.push(reader(&world, name, place + 1).await);
    }
    // One pipeline, one commit: still one after the other.
    writer.send(["XADD s 1-0 f v", "XADD s 2-0 f v"].map(frame).concat()).await;
    assert_eq!(readers[0].reply().await, entry("1-0"));
    assert_eq!(readers[1].reply().await, entry("2-0"));
    world.parked(1).await;
    assert_eq!(writer.reply().await, "$3|1-0|");
    assert_eq!(writer.reply().await, "$3|2-0|");
    writer.story(&[("XADD s 3-0 f v", "$3|3-0|")]).await;
    assert_eq!(readers[2].reply().await, entry("3-0"));
    world.stops().await;
}

#[tokio::test]
async fn plain_readers_all_get_it() {
    let world = default_world().await;
    let (mut old, mut new) = (world.client().await, world.client3().await);
    old.say("XREAD BLOCK 0 STREAMS other s $ $").await;
    new.say("XREAD BLOCK 0 STREAMS s 0").await;
    world.parked(2).await;
    world.client().await.story(&[("XADD s 1-0 f v", "$3|1-0|")]).await;
    assert_eq!(old.reply().await, entry("1-0"));
    assert_eq!(new.reply().await, "%1|$1|s|*1|*2|$3|1-0|*2|$1|f|$1|v|");
    world.stops().await;
}

#[tokio::test]
async fn reader_behind_another_in_a_pipeline_is_served() {
    let world = default_world().await;
    let mut reader = world.client().await;
    let lines = ["ECHO a", "XREAD BLOCK 0 STREAMS s $", "ECHO b", "XREAD BLOCK 1 STREAMS s $"];
    reader.send(lines.map(frame).concat()).await;
    assert_eq!(reader.reply().await, "$1|a|");
    world.parked(1).await;
    world.client().await.story(&[("XADD s 1-0 f v", "$3|1-0|")]).await;
    assert_eq!(reader.reply().await, entry("1-0"));
    assert_eq!(reader.reply().await, "$1|b|");
    assert_eq!(reader.reply().await, "*-1|");
    world.stops().await;
}

#[tokio::test]
async fn what_ends_a_group_wakes_its_readers() {
    let world = default_world().await;
    for (ends, told) in [
        ("XGROUP DESTROY s g", NO_GROUP),
        ("DEL s", NO_GROUP),
        ("UNLINK s", NO_GROUP),
        ("FLUSHDB", NO_GROUP),
        ("FLUSHALL", NO_GROUP),
        ("RENAME s t", NO_GROUP),
        ("PEXPIRE s 0", NO_GROUP),
        ("SET s v", WRONG_TYPE),
    ] {
        let mut writer = with_group(&world).await;
        let mut waiting = reader(&world, "c", 1).await;
        writer.ask(ends).await;
        assert_eq!(waiting.reply().await, told, "{ends}");
        world.parked(0).await;
        writer.story(&[("FLUSHALL", "+OK|")]).await;
    }
    world.stops().await;
}

/// A plain reader waits for its stream, whatever is there meanwhile.
#[tokio::test]
async fn plain_reader_outlasts_its_stream() {
    let world = default_world().await;
    for between in ["DEL s", "SET s v", "RENAME s t"] {
        let mut writer = world.client().await;
        writer.story(&[("FLUSHALL", "+OK|"), ("XADD s 1-0 f v", "$3|1-0|")]).await;
        let mut waiting = world.client().await;
        waiting.say("XREAD BLOCK 0 STREAMS s $").await;
        world.parked(1).await;
        writer.ask(between).await;
        writer.ask("DEL s").await;
        writer.story(&[("XADD s 2-0 f v", "$3|2-0|")]).await;
        assert_eq!(waiting.reply().await, entry("2-0"), "{between}");
    }
    // Another of its streams serves it while one of them is none.
    let mut waiting = world.client().await;
    waiting.say("XREAD BLOCK 0 STREAMS t s $ $").await;
    world.parked(1).await;
    let mut writer = world.client().await;
    writer.story(&[("SET t v", "+OK|"), ("XADD s 3-0 f v", "$3|3-0|")]).await;
    assert_eq!(waiting.reply().await, entry("3-0"));
    // Who comes now is told.
    waiting.story(&[("XREAD BLOCK 0 STREAMS t s $ $", WRONG_TYPE)]).await;
    world.stops().await;
}

#[tokio::test]
async fn what_comes_and_goes_wakes_nobody() {
    let world = default_world().await;
    let mut writer = with_group(&world).await;
    let mut waiting = reader(&world, "c", 1).await;
    let mut plain = world.client().await;
    plain.say("XREAD BLOCK 0 STREAMS s $").await;
    world.parked(2).await;
    writer
        .story(&[
            ("MULTI", "+OK|"),
            ("XADD s 1-0 f v", "+QUEUED|"),
            ("XDEL s 1-0", "+QUEUED|"),
            ("EXEC", "*2|$3|1-0|:1|"),
            ("XLEN s", ":0|"),
        ])
        .await;
    assert_eq!(world.appliance().writer_figures().parked, 2);
    writer.story(&[("XADD s 2-0 f v", "$3|2-0|")]).await;
    assert_eq!(waiting.reply().await, entry("2-0"));
    assert_eq!(plain.reply().await, entry("2-0"));
    world.stops().await;
}

#[tokio::test]
async fn time_out_is_nothing() {
    let world = default_world().await;
    with_group(&world).await;
    let lines = [
        ("XREADGROUP GROUP g c BLOCK 5 STREAMS s >", "*-1|"),
        ("XREAD BLOCK 5 STREAMS s $", "*-1|"),
        // Own entries are never waited for.
        ("XREADGROUP GROUP g c BLOCK 0 STREAMS s 0", "*1|*2|$1|s|*0|"),
        ("XREAD BLOCK -1 STREAMS s $", "-ERR timeout is negative|"),
        ("XREAD BLOCK x STREAMS s $", "-ERR timeout is not an integer or out of range|"),
        ("XREAD BLOCK 9223372036854775807 STREAMS s $", "-ERR timeout is out of range|"),
    ];
    world.client().await.story(&lines).await;
    assert_eq!(world.client3().await.ask("XREAD BLOCK 5 STREAMS s $").await, "_|");
    world.parked(0).await;
    world.stops().await;
}

#[tokio::test]
async fn reader_whose_client_left_gets_nothing() {
    let world = default_world().await;
    let mut writer = with_group(&world).await;
    let gone = reader(&world, "gone", 1).await;
    let mut stays = reader(&world, "stays", 2).await;
    drop(gone);
    world.parked(1).await;
    writer.story(&[("XADD s 1-0 f v", "$3|1-0|")]).await;
    assert_eq!(stays.reply().await, entry("1-0"));
    let pending = "*4|:1|$3|1-0|$3|1-0|*1|*2|$5|stays|$1|1|";
    writer.story(&[("XPENDING s g", pending)]).await;
    world.stops().await;
}

/// It may have asked for more already; that must not hide that it is gone.
#[tokio::test]
async fn reader_with_a_pipeline_behind_is_taken_back() {
    let world = default_world().await;
    with_group(&world).await;
    let mut gone = reader(&world, "gone", 1).await;
    gone.send(frame("PING").repeat(1_000)).await;
    drop(gone);
    world.parked(0).await;
    world.stops().await;
}

#[tokio::test]
async fn connection_stands_for_its_consumer() {
    let world = default_world().await;
    with_group(&world).await;
    let here = || world.appliance().presence().all().len();
    assert_eq!(here(), 0);
    let waiting = reader(&world, "c", 1).await;
    assert_eq!(here(), 1);
    drop(waiting);
    world.until(|| here() == 0).await;
    world.stops().await;
}
