//! What clients say first, as it was measured, and what they ask about the connection.

use crate::front::resp::world::{default_world, frame};

const NO_PASSWORD: &str = "-ERR AUTH <password> called without any password configured for the \
    default user. Are you sure your configuration is correct?|";

fn hello(id: u64) -> String {
    format!(
        "%7|$6|server|$5|redis|$7|version|$5|7.4.2|$5|proto|:3|$2|id|:{id}|$4|mode|$10|standalone|\
         $4|role|$6|master|$7|modules|*0|"
    )
}

#[tokio::test]
async fn redis_py_of_old_is_served() {
    let world = default_world().await;
    let lines = [
        ("CLIENT SETINFO LIB-NAME redis-py", "+OK|"),
        ("CLIENT SETINFO LIB-VER 5.3.1", "+OK|"),
        ("SELECT 9", "+OK|"),
        ("CLIENT SETNAME worker-1", "+OK|"),
        ("CLIENT GETNAME", "$8|worker-1|"),
        ("AUTH secret", NO_PASSWORD),
        ("PING", "+PONG|"),
    ];
    world.client().await.story(&lines).await;
    world.stops().await;
}

#[tokio::test]
async fn redis_py_of_today_is_served() {
    let world = default_world().await;
    let mut client = world.client().await;
    let moving = "CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type internal-ip";
    client
        .story(&[
            ("HELLO 3 AUTH default secret", &hello(1)),
            (moving, "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.|"),
            ("CLIENT SETINFO LIB-NAME redis-py", "+OK|"),
            ("CLIENT SETINFO LIB-VER 8.0.0", "+OK|"),
            ("GET nothing", "_|"),
            ("CLIENT GETNAME", "_|"),
        ])
        .await;
    let info = client.ask("CLIENT INFO").await;
    assert!(info.starts_with("=") && info.contains("|txt:id=1 addr=127.0.0.1:"), "{info}");
    assert!(info.contains(" resp=3 lib-name=redis-py lib-ver=8.0.0 age=0\n"), "{info}");
    world.stops().await;
}

#[tokio::test]
async fn ioredis_is_served() {
    let world = default_world().await;
    let mut client = world.client().await;
    client
        .story(&[
            ("hello 3", &hello(1)),
            ("select 2", "+OK|"),
            ("client setname queue:x", "+OK|"),
            ("client SETINFO LIB-VER 6.0.0", "+OK|"),
            ("client SETINFO LIB-NAME ioredis", "+OK|"),
        ])
        .await;
    let info = client.ask("info").await;
    for line in ["redis_version:7.4.2|", "loading:0|", "cluster_enabled:0|", "arch_bits:64|"] {
        assert!(info.contains(line), "{line}");
    }
    assert!(info.contains(&format!("run_id:{}|", "f".repeat(40))));
    client.story(&[("quit", "+OK|")]).await;
    assert_eq!(client.rest().await, "");
    world.stops().await;
}

/// It writes all of it before it reads anything.
#[tokio::test]
async fn node_redis_is_served() {
    let world = default_world().await;
    let mut client = world.client().await;
    let first = [
        "HELLO 3",
        "CLIENT SETINFO LIB-NAME node-redis",
        "CLIENT SETINFO LIB-VER 6.3.1",
        "CLIENT MAINT_NOTIFICATIONS ON",
    ];
    client.send(first.map(frame).concat()).await;
    assert_eq!(client.reply().await, hello(1));
    assert_eq!(client.reply().await, "+OK|");
    assert_eq!(client.reply().await, "+OK|");
    assert!(client.reply().await.starts_with("-ERR unknown subcommand"));
    world.stops().await;
}

#[tokio::test]
async fn go_redis_is_served() {
    let world = default_world().await;
    let mut client = world.client().await;
    client
        .story(&[
            ("HELLO 3 SETNAME app", &hello(1)),
            ("SELECT 1", "+OK|"),
            ("CLIENT GETNAME", "$3|app|"),
            ("CLIENT ID", ":1|"),
        ])
        .await;
    world.stops().await;
}

#[tokio::test]
async fn hello_refuses_as_redis_does() {
    let world = default_world().await;
    let wrong_pass = "-WRONGPASS invalid username-password pair or user is disabled.|";
    let lines = [
        ("HELLO 9", "-NOPROTO unsupported protocol version|"),
        ("HELLO x", "-ERR Protocol version is not an integer or out of range|"),
        ("HELLO 3 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'|"),
        ("HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'|"),
        // Somebody whom nobody knows got in when he came by HELLO.
        ("HELLO 3 AUTH somebody secret", wrong_pass),
        ("AUTH somebody secret", wrong_pass),
        ("AUTH default secret", "+OK|"),
        // None of them changed the protocol.
        ("GET nothing", "$-1|"),
        ("SELECT 16", "-ERR DB index is out of range|"),
        ("SELECT x", "-ERR value is not an integer or out of range|"),
        ("PING a b", "-ERR wrong number of arguments for 'ping' command|"),
        ("ECHO hi", "$2|hi|"),
        ("COMMAND", "*0|"),
        ("CONFIG GET save", "*2|$4|save|$0||"),
        ("NOPE a b", "-ERR unknown command 'NOPE', with args beginning with: 'a' 'b' |"),
    ];
    world.client().await.story(&lines).await;
    world.stops().await;
}

#[tokio::test]
async fn reset_forgets_what_was_set() {
    let world = default_world().await;
    let mut client = world.client3().await;
    client
        .story(&[
            ("SELECT 3", "+OK|"),
            ("CLIENT SETNAME me", "+OK|"),
            ("SET k v", "+OK|"),
            ("MULTI", "+OK|"),
            ("RESET", "+RESET|"),
            ("EXEC", "-ERR EXEC without MULTI|"),
            ("CLIENT GETNAME", "$-1|"),
            ("GET k", "$-1|"),
        ])
        .await;
    world.stops().await;
}

/// Names that were set later did not show, and every age was 0.
#[tokio::test]
async fn clients_see_each_other() {
    let world = default_world().await;
    let (mut one, mut two) = (world.client().await, world.client3().await);
    one.story(&[("CLIENT SETNAME first", "+OK|"), ("SELECT 5", "+OK|")]).await;
    let list = two.ask("CLIENT LIST").await;
    assert_eq!(list.matches("id=").count(), 2, "{list}");
    assert!(list.contains(" name=first db=5 multi=-1 resp=2 "), "{list}");
    drop(one);
    world.until(|| world.door.connected() == 1).await;
    assert_eq!(two.ask("CLIENT LIST").await.matches("id=").count(), 1);
    world.stops().await;
}
