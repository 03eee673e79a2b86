//! `/ws`: the messages of `/v1/live` over a WebSocket (RFC 6455).
//!
//! Only the server talks, in short texts, so this is all of the protocol that is needed: a handshake,
//! frames out, and of a client's frames ping and close. A library would bring twenty crates.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::json;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::error::Answer;
use super::live::{Listener, Message};
use super::state::Front;
use super::who::Proof;
use crate::model::refusal::{Code, Refusal};

/// How long a client may take to take a message.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest frame that a client may send.
const FRAME_BYTES_MAX: usize = 4_096;
const READ_BYTES: usize = 1_024;
/// What every key is hashed with: a constant of the protocol.
const ACCEPT_SALT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// Codes of closing.
const GOING_AWAY: u16 = 1_001;
const PROTOCOL_ERROR: u16 = 1_002;
const TOO_BIG: u16 = 1_009;

/// Turns the connection into a WebSocket.
pub async fn open(State(front): State<Front>, proof: Proof, request: Request) -> Answer {
    let headers = request.headers();
    let Some(accept) = accept_of(headers) else {
        return Ok(upgrade_required());
    };
    if !is_same_origin(headers) {
        let message = "the request comes from another site, so it hears nothing here";
        return Err(Refusal::new(Code::Forbidden, message).into());
    }
    let listener = Listener::new(&front, proof)?;
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => talk(TokioIo::new(upgraded), listener).await,
            Err(error) => tracing::debug!(%error, "a connection did not become a websocket"),
        }
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// The answer to a client's key; `None` when it does not ask for a WebSocket of version 13.
fn accept_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let has = |name: header::HeaderName, word: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    let asked = has(header::CONNECTION, "upgrade")
        && has(header::UPGRADE, "websocket")
        && has(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| asked)?.to_str().ok()?;
    let hash = Sha1::digest(format!("{key}{ACCEPT_SALT}"));
    let accept = base64::engine::general_purpose::STANDARD.encode(hash);
    HeaderValue::from_str(&accept).ok()
}

/// Browsers let any page open a WebSocket to anywhere; they only say where it comes from.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, authority)| Some(authority) == host)
}

fn upgrade_required() -> Response {
    let refusal = json!({ "error": {
        "code": Code::InvalidQuery.as_str(),
        "message": "expected the handshake of a WebSocket, version 13",
    } });
    let mut response = (StatusCode::UPGRADE_REQUIRED, axum::Json(refusal)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

/// Tells one client until it or the appliance goes.
async fn talk(mut socket: TokioIo<Upgraded>, mut listener: Listener) {
    let mut input = Vec::new();
    let mut buffer = [0; READ_BYTES];
    loop {
        let out = tokio::select! {
            message = listener.next() => match message {
                Some(message) => vec![frame(TEXT, text_of(&message).as_bytes())],
                None => vec![close(GOING_AWAY)],
            },
            read = socket.read(&mut buffer) => match read {
                Ok(count @ 1..) => {
                    input.extend_from_slice(&buffer[..count]);
                    answers(&mut input)
                }
                Ok(0) | Err(_) => return,
            },
        };
        for frame in out {
            let sent = timeout(WRITE_TIMEOUT, socket.write_all(&frame)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
            if frame[0] & 0x0f == CLOSE {
                let _ = timeout(WRITE_TIMEOUT, socket.shutdown()).await;
                return;
            }
        }
    }
}

fn text_of(message: &Message) -> String {
    let mut text = json!({ "type": message.name() });
    if let Some(data) = message.data() {
        text["data"] = data;
    }
    text.to_string()
}

/// A whole frame of the server.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 10);
    out.push(0x80 | kind);
    match payload.len() {
        short @ 0..=125 => out.push(short as u8),
        middle @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
    out
}

fn close(code: u16) -> Vec<u8> {
    frame(CLOSE, &code.to_be_bytes())
}

/// Takes whole frames of a client off `input`; gives what they are answered with.
fn answers(input: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        match next_frame(input) {
            Ok(None) => return out,
            Ok(Some((PING, payload))) => out.push(frame(PONG, &payload)),
            Ok(Some((CLOSE, payload))) => {
                out.push(frame(CLOSE, payload.get(..2).unwrap_or_default()));
                return out;
            }
            // Texts say nothing here, and neither do their parts.
            Ok(Some(_)) => {}
            Err(code) => {
                out.push(close(code));
                return out;
            }
        }
    }
}

/// The next whole frame; the error is a code of closing.
fn next_frame(input: &mut Vec<u8>) -> Result<Option<(u8, Vec<u8>)>, u16> {
    let [first, second, rest @ ..] = &input[..] else { return Ok(None) };
    let (kind, masked) = (first & 0x0f, second & 0x80 != 0);
    if !masked || first & 0x70 != 0 {
        return Err(PROTOCOL_ERROR);
    }
    let (length, rest) = match second & 0x7f {
        126 => match rest.split_first_chunk::<2>() {
            Some((length, rest)) => (usize::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => return Err(TOO_BIG),
        short => (usize::from(short), rest),
    };
    if length > FRAME_BYTES_MAX {
        return Err(TOO_BIG);
    }
    let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    let used = input.len() - (rest.len() - length);
    input.drain(..used);
    Ok(Some((kind, payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        of.iter()
            .map(|(name, value)| {
                (header::HeaderName::from_static(name), HeaderValue::from_static(value))
            })
            .collect()
    }

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first, 0x80 | payload.len() as u8, 1, 2, 3, 4];
        out.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn handshake_is_answered() {
        let good = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert_eq!(accept_of(&headers(&good)).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for left_out in 0..good.len() {
            let mut less = good.to_vec();
            less.remove(left_out);
            assert_eq!(accept_of(&headers(&less)), None, "without {:?}", good[left_out]);
        }
    }

    #[test]
    fn other_sites_hear_nothing() {
        for (of, ours) in [
            (vec![("host", "a:1")], true),
            (vec![("host", "a:1"), ("origin", "http://a:1")], true),
            (vec![("host", "a:1"), ("origin", "http://evil.example")], false),
            (vec![("host", "a:1"), ("origin", "null")], false),
        ] {
            assert_eq!(is_same_origin(&headers(&of)), ours, "{of:?}");
        }
    }

    #[test]
    fn frames_of_clients_are_read_in_any_pieces() {
        let mut all = masked(0x81, b"ignored");
        all.extend(masked(0x89, b"are you there"));
        all.extend(masked(0x88, &1_000_u16.to_be_bytes()));
        let expected = vec![frame(PONG, b"are you there"), close(1_000)];
        assert_eq!(answers(&mut all.clone()), expected);
        let (mut input, mut out) = (Vec::new(), Vec::new());
        for byte in all {
            input.push(byte);
            out.extend(answers(&mut input));
        }
        assert_eq!((out, input.len()), (expected, 0));
        for (bad, code) in [
            (vec![0x81, 0x01, b'a'], PROTOCOL_ERROR),
            (vec![0xc1, 0x81], PROTOCOL_ERROR),
            (vec![0x81, 0xff], TOO_BIG),
            (vec![0x81, 0xfe, 0xff, 0xff], TOO_BIG),
        ] {
            assert_eq!(answers(&mut bad.clone()), [close(code)], "{bad:?}");
        }
    }

    #[test]
    fn frames_of_any_length_are_written() {
        assert_eq!(frame(TEXT, b"ab"), [0x81, 2, b'a', b'b']);
        assert_eq!(frame(TEXT, &[0; 300])[..4], [0x81, 126, 1, 44]);
        assert_eq!(frame(TEXT, &[0; 70_000])[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
    }
}
