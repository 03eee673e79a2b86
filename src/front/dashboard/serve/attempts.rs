//! The attempts log as pages show it: of a run, and of an outbox row.

use base64::Engine as _;

use crate::base::time::{Span, Time};
use crate::front::dashboard::json;
use crate::front::dashboard::parts::{self, Badge, When};
use crate::front::dashboard::text;
use crate::model::delivery::{ATTEMPT_BODY_BYTES_MAX, Attempt};

/// The attempts that counted, in the order in which they are given. Late ones are shown apart.
pub fn rows(attempts: &[Attempt], now: Time) -> Vec<parts::Attempt> {
    attempts.iter().filter(|attempt| !attempt.late).map(|attempt| row(attempt, now)).collect()
}

fn row(attempt: &Attempt, now: Time) -> parts::Attempt {
    parts::Attempt {
        number: u64::from(attempt.number),
        started: When::at(attempt.started_at, now),
        duration: text::span(Span(i64::from(attempt.elapsed_ms))),
        class: Badge::outcome(&attempt.class, attempt.next_at.is_some()),
        status: attempt.status.map_or(String::new(), |status| status.to_string()),
        detail: attempt.detail.clone(),
        next_retry: When::maybe(attempt.next_at, now),
        body: body(&attempt.body),
        body_bytes: attempt.body.len() as u64,
        body_cut: attempt.body.len() >= ATTEMPT_BODY_BYTES_MAX,
    }
}

/// A stored body: JSON indented, other text as it is, anything else as base64.
pub fn body(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => json::pretty(text),
        // A cut in the middle of a character is no reason to hide the text before it.
        Err(error) if bytes.len() - error.valid_up_to() < 4 => {
            String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned()
        }
        Err(_) => {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            format!("not text; as base64: {text}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_any_kind_are_shown() {
        assert_eq!(body(br#"{"a":1}"#), "{\n  \"a\": 1\n}");
        assert_eq!(body("tr\u{e4}".as_bytes()), "tr\u{e4}");
        assert_eq!(body(&"tr\u{e4}".as_bytes()[..3]), "tr");
        assert_eq!(body(&[0xff, 0xfe, 0, 1, 2]), "not text; as base64: //4AAQI=");
    }
}
