//! Signs what is delivered, as Standard Webhooks asks for, and keeps the secrets it signs with.
//!
//! The signed text is id, dot, timestamp, dot, raw body. While a secret is being replaced both
//! sign, so that a receiver can change over at its own pace. Random bytes for a new secret come
//! from the caller; the headers are put together where requests are built.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::base::time::{Span, Time};

/// Fewest bytes of a secret.
pub const SECRET_BYTES_MIN: usize = 24;

/// Most bytes of a secret.
pub const SECRET_BYTES_MAX: usize = 64;

/// How long the previous secret goes on signing unless told otherwise.
pub const OVERLAP_DEFAULT: Span = Span::from_hours(24);

/// Longest time for which the previous secret can go on signing.
pub const OVERLAP_MAX: Span = Span::from_days(7);

const PREFIX: &str = "whsec_";

/// A key for signatures: 24 to 64 bytes, written as `whsec_` and base64.
///
/// It neither prints nor serialises by itself; [`Secret::reveal`] is the only way out.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes raw bytes; the error says what is allowed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Secret, &'static str> {
        if (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()) {
            Ok(Secret(bytes.to_vec()))
        } else {
            Err("expected a secret of 24 to 64 bytes")
        }
    }

    /// The raw bytes, for the store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// `whsec_` and base64, to be shown once to the one who owns the receiver.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", BASE64.encode(&self.0))
    }
}

/// Reads `whsec_` and base64; the error never repeats the text.
impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Secret, &'static str> {
        let encoded = text.strip_prefix(PREFIX).ok_or("expected `whsec_` and base64")?;
        let bytes = BASE64.decode(encoded).map_err(|_| "expected base64 after `whsec_`")?;
        Secret::from_bytes(&bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The secrets of an endpoint: the current one, and the previous one while it still signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    pub current: Secret,
    pub previous: Option<Secret>,
    /// From this moment on the previous secret no longer signs.
    pub previous_until: Time,
}

impl Secrets {
    pub fn new(current: Secret) -> Secrets {
        Secrets { current, previous: None, previous_until: Time::ZERO }
    }

    /// Makes `next` the current secret; the one it replaces goes on signing for `overlap`, at most
    /// [`OVERLAP_MAX`]. A secret that was previous before is dropped.
    pub fn rotate(&mut self, next: Secret, now: Time, overlap: Span) {
        let replaced = std::mem::replace(&mut self.current, next);
        self.previous = (overlap > Span::ZERO).then_some(replaced);
        self.previous_until = now.plus(overlap.min(OVERLAP_MAX));
    }

    /// Drops the previous secret before its time.
    pub fn retire_previous(&mut self) {
        self.previous = None;
        self.previous_until = Time::ZERO;
    }

    /// What signs at `now`, the current secret first.
    pub fn active(&self, now: Time) -> impl Iterator<Item = &Secret> {
        let previous = self.previous.as_ref().filter(|_| now < self.previous_until);
        std::iter::once(&self.current).chain(previous)
    }
}

/// The value of `webhook-signature`: one `v1,<base64>` per secret, separated by spaces.
///
/// `id` stays the same over retries, `timestamp_secs` is that of the attempt. `id` must not
/// contain a dot, or two different messages could share a signed text; ours are UUIDs.
pub fn sign<'a>(
    id: &str,
    timestamp_secs: i64,
    body: &[u8],
    secrets: impl IntoIterator<Item = &'a Secret>,
) -> String {
    debug_assert!(!id.contains('.'), "signature: the id must not contain a dot");
    let head = format!("{id}.{timestamp_secs}.");
    let signatures: Vec<String> = secrets
        .into_iter()
        .map(|secret| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
                .expect("hmac takes a key of any length");
            mac.update(head.as_bytes());
            mac.update(body);
            format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
        })
        .collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use standardwebhooks::Webhook;

    use super::*;
    use crate::base::time::{Clock, SystemClock};

    const BODY: &[u8] = br#"{"external_idempotency_key":"x","payload":"\u00e4"}"#;

    fn secret(fill: u8) -> Secret {
        Secret::from_bytes(&[fill; 32]).unwrap()
    }

    /// Whether the reference implementation accepts `signature` under `secret`.
    fn accepted(secret: &Secret, id: &str, at: i64, body: &[u8], signature: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", id.parse().unwrap());
        headers.insert("webhook-timestamp", HeaderValue::from(at));
        headers.insert("webhook-signature", signature.parse().unwrap());
        Webhook::new(&secret.reveal()).unwrap().verify(body, &headers).is_ok()
    }

    #[test]
    fn known_signature_stays_the_same() {
        // The example of the reference implementation.
        let secret: Secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse().unwrap();
        let signature = sign(
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            br#"{"email":"test@example.com","username":"test_user"}"#,
            [&secret],
        );
        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn reference_accepts_every_active_secret() {
        let at = SystemClock.now().0 / 1_000;
        let [old, new, other] = [secret(1), secret(2), secret(3)];
        let both = sign("msg-1", at, BODY, &[new.clone(), old.clone()]);
        assert_eq!(both.split(' ').count(), 2);
        for (key, id, time, body, expected) in [
            (&old, "msg-1", at, BODY, true),
            (&new, "msg-1", at, BODY, true),
            (&other, "msg-1", at, BODY, false),
            (&old, "msg-2", at, BODY, false),
            (&old, "msg-1", at + 1, BODY, false),
            (&old, "msg-1", at, &BODY[1..], false),
        ] {
            assert_eq!(accepted(key, id, time, body, &both), expected, "{id} {time}");
        }
    }

    #[test]
    fn previous_secret_signs_until_its_end() {
        let overlap = OVERLAP_DEFAULT;
        let (start, end) = (Time(1_000), Time(1_000).plus(overlap));
        let mut secrets = Secrets::new(secret(1));
        assert_eq!(secrets.active(start).count(), 1);
        secrets.rotate(secret(2), start, overlap);
        let active = |secrets: &Secrets, at| {
            secrets.active(at).map(|secret| secret.as_bytes()[0]).collect::<Vec<_>>()
        };
        assert_eq!(active(&secrets, start), [2, 1]);
        assert_eq!(active(&secrets, Time(end.0 - 1)), [2, 1]);
        assert_eq!(active(&secrets, end), [2]);
        secrets.rotate(secret(3), start, Span::from_days(30));
        assert_eq!(active(&secrets, start), [3, 2]);
        assert_eq!(secrets.previous_until, start.plus(OVERLAP_MAX));
        secrets.retire_previous();
        assert_eq!(active(&secrets, start), [3]);
        secrets.rotate(secret(4), start, Span::ZERO);
        assert_eq!(secrets.previous, None);
    }

    #[test]
    fn secrets_read_and_never_leak() {
        let good = secret(7);
        assert_eq!(good.reveal().parse::<Secret>(), Ok(good.clone()));
        assert_eq!(format!("{:?}", Secrets::new(good)).matches("Secret(..)").count(), 1);
        let short = format!("whsec_{}", BASE64.encode([1; 23]));
        let long = format!("whsec_{}", BASE64.encode([1; 65]));
        let bare = BASE64.encode([1; 32]);
        for bad in ["", "whsec_", "whsec_!!", &short, &long, &bare, "WHSEC_AAAA"] {
            let said = bad.parse::<Secret>().unwrap_err();
            assert!(said.starts_with("expected"), "{bad}: {said}");
        }
        for length in [24, 64] {
            assert!(Secret::from_bytes(&vec![1; length]).is_ok());
        }
    }
}
