//! What a connection knows of its client, and the commands that are about nothing else.

use std::sync::Arc;

use bytes::Bytes;

use super::door::Door;
use super::info;
use super::multi::Multi;
use super::number;
use super::reply::Reply;
use super::request::{Request, Word, is_word};
use super::writer::Protocol;
use crate::appliance::access::hash_of;
use crate::appliance::caller::Caller;
use crate::appliance::presence::Places;
use crate::base::glob;
use crate::base::time::Time;
use crate::model::access::{SecretHash, Who};
use crate::model::refusal::Code;
use crate::model::stream::DATABASES;

/// Longest name of a client or its library, in bytes.
const CLIENT_NAME_MAX: usize = 256;

/// The version whose behaviour is spoken.
pub const REDIS_VERSION: &str = "7.4.2";

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    pub id: u64,
    pub address: String,
    pub protocol: Protocol,
    pub db: u8,
    pub name: Bytes,
    pub library: (Bytes, Bytes),
    pub multi: Option<Multi>,
    /// Who it is, once that was proven; nobody asks while everyone may do everything.
    pub who: Option<Arc<Who>>,
    /// Hash of the token that proved it.
    proof: Option<SecretHash>,
    pub since: Time,
    /// The consumers that it reads as, from the first such read on.
    pub places: Option<Places>,
    /// Nothing further is read.
    pub closing: bool,
}

impl Session {
    pub fn new(id: u64, address: String, door: &Door) -> Session {
        Session {
            id,
            address,
            protocol: Protocol::Resp2,
            db: 0,
            name: Bytes::new(),
            library: (Bytes::new(), Bytes::new()),
            multi: None,
            who: None,
            proof: None,
            since: door.now(),
            places: None,
            closing: false,
        }
    }

    /// What CLIENT LIST says of it, but for its age.
    pub fn line(&self) -> String {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let multi = self.multi.as_ref().map_or(-1, |multi| multi.queued.len() as i64);
        format!(
            "id={} addr={} name={} db={} multi={multi} resp={} lib-name={} lib-ver={}",
            self.id,
            self.address,
            text(&self.name),
            self.db,
            self.protocol.number(),
            text(&self.library.0),
            text(&self.library.1),
        )
    }

    /// Answers a command about the connection.
    pub fn answer(&mut self, request: &Request, door: &Arc<Door>) -> Reply {
        let args = &request.args;
        match request.word().as_str() {
            "PING" => match (args.len(), args.first()) {
                (0, _) => Reply::PONG,
                (1, Some(text)) => Reply::bulk(Bytes::copy_from_slice(text)),
                _ => Reply::error("ERR wrong number of arguments for 'ping' command"),
            },
            "ECHO" => Reply::bulk(Bytes::copy_from_slice(&args[0])),
            "SELECT" => self.select(&args[0]),
            "HELLO" => self.hello(args, door),
            "AUTH" => self.auth(args, door),
            "CLIENT" => self.client(request, door),
            "QUIT" => {
                self.closing = true;
                Reply::OK
            }
            "RESET" => {
                self.multi = None;
                self.db = 0;
                self.protocol = Protocol::Resp2;
                self.name = Bytes::new();
                (self.who, self.proof) = (None, None);
                Reply::Simple("RESET")
            }
            "COMMAND" => command(request),
            "CONFIG" => config(request),
            "INFO" => Reply::Verbatim(info::text(door, args).into()),
            "TIME" => {
                let now = door.now().0;
                let part = |number: i64| Reply::bulk(number.to_string());
                Reply::Array(vec![part(now / 1_000), part(now % 1_000 * 1_000)])
            }
            "LASTSAVE" => Reply::Integer(door.now().0 / 1_000),
            // Every write was on disk before it was answered, and there are no replicas.
            "WAIT" => Reply::Integer(0),
            "FUNCTION" if is_word(&args[0], "FLUSH") => Reply::OK,
            "FUNCTION" => request.unknown_subcommand("function"),
            "DEBUG" => Reply::error("ERR DEBUG command not allowed."),
            "MEMORY" => request.unknown_subcommand("memory"),
            _ => request.unknown_command(),
        }
    }

    fn select(&mut self, text: &[u8]) -> Reply {
        match number::integer(text) {
            None => Reply::error("ERR value is not an integer or out of range"),
            Some(db) if (0..i64::from(DATABASES)).contains(&db) => {
                self.db = db as u8;
                Reply::OK
            }
            Some(_) => Reply::error("ERR DB index is out of range"),
        }
    }

    fn hello(&mut self, args: &[Bytes], door: &Door) -> Reply {
        let mut protocol = self.protocol;
        let mut rest = args;
        if let [version, behind @ ..] = args {
            let Some(number) = number::integer(version) else {
                return Reply::error("ERR Protocol version is not an integer or out of range");
            };
            let Some(asked) = Protocol::from_number(number) else {
                return Reply::error("NOPROTO unsupported protocol version");
            };
            protocol = asked;
            rest = behind;
        }
        let mut name = None;
        let mut who = None;
        while let [word, behind @ ..] = rest {
            rest = match behind {
                [user, password, behind @ ..] if is_word(word, "AUTH") => {
                    match self.proven(user, password, door) {
                        Ok(proven) => who = proven,
                        Err(reply) => return reply,
                    }
                    behind
                }
                [given, behind @ ..] if is_word(word, "SETNAME") => {
                    if !is_client_name(given) {
                        return bad_client_name();
                    }
                    name = Some(Bytes::copy_from_slice(given));
                    behind
                }
                _ => {
                    let mut text = b"ERR Syntax error in HELLO option '".to_vec();
                    text.extend_from_slice(&word[..word.len().min(128)]);
                    text.push(b'\'');
                    return Reply::error(text);
                }
            };
        }
        if who.is_none() && self.who.is_none() && door.wants_proof() {
            return Reply::error(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
                 HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
                 select the RESP protocol version at the same time",
            );
        }
        self.protocol = protocol;
        if let Some((proven, proof)) = who {
            (self.who, self.proof) = (Some(proven), Some(proof));
        }
        if let Some(name) = name {
            self.name = name;
        }
        Reply::map([
            ("server", Reply::text("redis")),
            ("version", Reply::text(REDIS_VERSION)),
            ("proto", Reply::Integer(protocol.number())),
            ("id", Reply::Integer(self.id as i64)),
            ("mode", Reply::text("standalone")),
            ("role", Reply::text("master")),
            ("modules", Reply::EMPTY),
        ])
    }

    /// The caller whose token this is. Any user name goes with it: tokens have names of their own.
    /// While everyone may do everything there is nothing to prove.
    fn proven(
        &self,
        user: &[u8],
        password: &[u8],
        door: &Door,
    ) -> Result<Option<(Arc<Who>, SecretHash)>, Reply> {
        // Nobody knows yet whether it wants one: any other answer would send the client away for good,
        // or keep it here without its proof.
        let Some(appliance) = door.appliance() else { return Err(super::door::loading()) };
        if !appliance.is_set_up() {
            return if is_default(user) { Ok(None) } else { Err(Reply::error(WRONG_PASSWORD)) };
        }
        let token = String::from_utf8_lossy(password);
        let found = appliance.of_token(&token, &self.host());
        found.map(|who| Some((who, hash_of(&token)))).map_err(|refusal| match refusal.code {
            Code::LimitAttempts => Reply::error(format!("ERR {}", refusal.message)),
            _ => Reply::error(WRONG_PASSWORD),
        })
    }

    fn auth(&mut self, args: &[Bytes], door: &Door) -> Reply {
        let proven = match args {
            [_] if door.appliance().is_some_and(|appliance| !appliance.is_set_up()) => {
                return Reply::error(
                    "ERR AUTH <password> called without any password configured for the default \
                     user. Are you sure your configuration is correct?",
                );
            }
            [password] => self.proven(b"default", password, door),
            [user, password] => self.proven(user, password, door),
            _ => return Reply::error("ERR syntax error"),
        };
        match proven {
            Ok(Some((who, proof))) => {
                (self.who, self.proof) = (Some(who), Some(proof));
                Reply::OK
            }
            Ok(None) => Reply::OK,
            Err(reply) => reply,
        }
    }

    /// Looks again who it is: its token may have been revoked since.
    pub fn look_again(&mut self, door: &Door) {
        if let (Some(proof), Some(appliance)) = (&self.proof, door.appliance()) {
            self.who = appliance.of_proof(proof);
        }
    }

    /// Returns once its token is revoked or has expired; never for who needs none.
    pub fn is_unknown(&self, door: &Arc<Door>) -> impl Future<Output = ()> + use<> {
        let (proof, door) = (self.proof, door.clone());
        async move {
            let (Some(proof), Some(appliance)) = (proof, door.appliance()) else {
                return std::future::pending().await;
            };
            while appliance.of_proof(&proof).is_some() {
                tokio::time::sleep(door.settings.proof_every).await;
            }
        }
    }

    /// The address of the client without its port: what guesses are counted by.
    fn host(&self) -> String {
        let address = self.address.parse::<std::net::SocketAddr>();
        address.map_or_else(|_| self.address.clone(), |at| at.ip().to_canonical().to_string())
    }

    /// The caller as the audit log tells of it.
    pub fn caller(&self, action: &str) -> Caller {
        let who = self.who.clone().unwrap_or_else(|| Arc::new(Who::anyone()));
        Caller::told(who, action.to_owned(), format!("database {}", self.db), self.host())
    }

    fn client(&mut self, request: &Request, door: &Arc<Door>) -> Reply {
        let args = &request.args;
        let wrong = |name: &str| {
            Reply::error(format!("ERR wrong number of arguments for 'client|{name}' command"))
        };
        match (Word::new(&args[0]).as_str(), args.len()) {
            ("ID", 1) => Reply::Integer(self.id as i64),
            ("GETNAME", 1) if self.name.is_empty() => Reply::Null,
            ("GETNAME", 1) => Reply::bulk(self.name.clone()),
            ("SETNAME", 2) => {
                if !is_client_name(&args[1]) {
                    return bad_client_name();
                }
                self.name = Bytes::copy_from_slice(&args[1]);
                Reply::OK
            }
            ("SETINFO", 3) => self.set_info(&args[1], &args[2]),
            ("INFO", 1) => Reply::Verbatim(door.line(self).into()),
            ("LIST", _) => Reply::Verbatim(door.list(self).into()),
            ("NO-EVICT" | "NO-TOUCH", 2) => Reply::OK,
            ("REPLY", 2) if is_word(&args[1], "ON") => Reply::OK,
            ("SETNAME", _) => wrong("setname"),
            ("SETINFO", _) => wrong("setinfo"),
            ("ID", _) => wrong("id"),
            ("GETNAME", _) => wrong("getname"),
            _ => request.unknown_subcommand("client"),
        }
    }

    fn set_info(&mut self, what: &[u8], value: &Bytes) -> Reply {
        if value.len() > CLIENT_NAME_MAX || value.iter().any(|byte| !(b'!'..=b'~').contains(byte)) {
            return Reply::error(
                "ERR lib-name and lib-ver cannot contain spaces, newlines or special characters.",
            );
        }
        let value = Bytes::copy_from_slice(value);
        if is_word(what, "LIB-NAME") {
            self.library.0 = value;
        } else if is_word(what, "LIB-VER") {
            self.library.1 = value;
        } else {
            let what = String::from_utf8_lossy(&what[..what.len().min(128)]).into_owned();
            return Reply::error(format!("ERR Unrecognized option '{what}'"));
        }
        Reply::OK
    }
}

fn is_client_name(name: &[u8]) -> bool {
    name.len() <= CLIENT_NAME_MAX && name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

fn bad_client_name() -> Reply {
    Reply::error("ERR Client names cannot contain spaces, newlines or special characters.")
}

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// The one user that is there while there is no password.
fn is_default(user: &[u8]) -> bool {
    user == b"default"
}

fn command(request: &Request) -> Reply {
    let names = || super::parse::entries().map(|entry| entry.name);
    let count = names().count() + super::parse::OF_CONNECTION.len();
    match request.args.first().map(|word| Word::new(word)) {
        None => Reply::EMPTY,
        Some(word) => match word.as_str() {
            "COUNT" => Reply::Integer(count as i64),
            "LIST" => Reply::array(names().map(Reply::text)),
            "DOCS" => Reply::Map(Vec::new()),
            "INFO" | "GETKEYS" => Reply::EMPTY,
            _ => request.unknown_subcommand("command"),
        },
    }
}

/// Settings that clients ask for; none can be changed this way.
fn config(request: &Request) -> Reply {
    const SETTINGS: [(&str, &str); 7] = [
        ("appendfsync", "always"),
        ("appendonly", "yes"),
        ("databases", "16"),
        ("maxmemory", "0"),
        ("maxmemory-policy", "noeviction"),
        ("save", ""),
        ("timeout", "0"),
    ];
    let args = &request.args;
    match (Word::new(&args[0]).as_str(), args.len()) {
        ("GET", 2..) => {
            let asked = |name: &str| {
                args[1..]
                    .iter()
                    .any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
            };
            let found = SETTINGS.iter().filter(|(name, _)| asked(name));
            Reply::Map(found.map(|(name, value)| (Reply::text(name), Reply::text(value))).collect())
        }
        ("SET", 3..) => Reply::error(
            "ERR CONFIG SET failed - settings are those of tidegate's configuration file",
        ),
        ("RESETSTAT", 1) => Reply::OK,
        ("GET" | "SET", _) => Reply::error("ERR wrong number of arguments for 'config' command"),
        _ => request.unknown_subcommand("config"),
    }
}
