//! A certificate that signs itself: for a first start over TLS, and for places without another.
//!
//! It is a dozen fields in DER, so it is written here instead of by a library of twenty parts. One
//! that is there is kept, so that clients that were told its fingerprint go on to know it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

use super::{Files, TlsError};
use crate::base::time::{Span, Time};

/// How long it is good, from a day before it was made.
const VALID_FOR: Span = Span::from_days(3_650);
const VALID_BEFORE: Span = Span::from_days(1);
const SERIAL_BYTES: usize = 16;

/// The names of DER that are needed.
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];

/// Makes certificate and key in `dir`, or finds those that are there.
pub fn self_sign(
    dir: &Path,
    hosts: &[String],
    addresses: &[IpAddr],
    now: Time,
) -> Result<Files, TlsError> {
    let files = Files { cert: dir.join("tls-cert.pem"), key: dir.join("tls-key.pem") };
    if files.cert.exists() && files.key.exists() {
        return Ok(files);
    }
    let (cert, key) = made(hosts, addresses, now)?;
    let trouble = |source| TlsError::File { path: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(trouble)?;
    write(&files.key, &pem("PRIVATE KEY", &key), 0o600).map_err(trouble)?;
    write(&files.cert, &pem("CERTIFICATE", &cert), 0o644).map_err(trouble)?;
    Ok(files)
}

/// Whole or not at all, and unseen by others from its first byte.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let draft = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(draft, path)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().map(|byte| char::from(*byte)));
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}

/// Certificate and key in DER.
fn made(hosts: &[String], addresses: &[IpAddr], now: Time) -> Result<(Vec<u8>, Vec<u8>), TlsError> {
    let broken = |_| TlsError::NotSigned("the system's generator or the key failed");
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(broken)?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random)
        .map_err(|_| TlsError::NotSigned("the fresh key cannot be read"))?;
    let mut serial = [0; SERIAL_BYTES];
    random.fill(&mut serial).map_err(broken)?;
    // Positive and of full length.
    serial[0] = serial[0] & 0x7f | 0x40;
    let body = body(&serial, pair.public_key().as_ref(), hosts, addresses, now);
    let signature = pair.sign(&random, &body).map_err(broken)?;
    let signed = [body, signed_with(), bits(signature.as_ref())].concat();
    Ok((of(SEQUENCE, &signed), document.as_ref().to_vec()))
}

/// What is signed.
fn body(
    serial: &[u8],
    public_key: &[u8],
    hosts: &[String],
    addresses: &[IpAddr],
    now: Time,
) -> Vec<u8> {
    let name = [of(OBJECT_ID, COMMON_NAME), of(UTF8_STRING, b"tidegate")].concat();
    let name = of(SEQUENCE, &of(SET, &of(SEQUENCE, &name)));
    let valid =
        [moment(now.minus(VALID_BEFORE)), moment(now.minus(VALID_BEFORE).plus(VALID_FOR))].concat();
    let kind = of(SEQUENCE, &[of(OBJECT_ID, EC_PUBLIC_KEY), of(OBJECT_ID, P256)].concat());
    let usage = extension(EXTENDED_KEY_USAGE, &of(SEQUENCE, &of(OBJECT_ID, SERVER_AUTH)));
    let names = extension(ALTERNATIVE_NAMES, &of(SEQUENCE, &names(hosts, addresses)));
    let fields = [
        // The third version.
        of(0xa0, &of(INTEGER, &[2])),
        of(INTEGER, serial),
        signed_with(),
        name.clone(),
        of(SEQUENCE, &valid),
        name,
        of(SEQUENCE, &[kind, bits(public_key)].concat()),
        of(0xa3, &of(SEQUENCE, &[usage, names].concat())),
    ];
    of(SEQUENCE, &fields.concat())
}

/// This machine by name and address, and whatever else it is called.
fn names(hosts: &[String], addresses: &[IpAddr]) -> Vec<u8> {
    let mut out = of(0x82, b"localhost");
    for host in hosts.iter().filter(|host| host.is_ascii()) {
        out.extend(of(0x82, host.as_bytes()));
    }
    let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
    let others = addresses.iter().filter(|at| !at.is_unspecified() && !loopback.contains(at));
    for address in loopback.iter().chain(others) {
        out.extend(match address {
            IpAddr::V4(address) => of(0x87, &address.octets()),
            IpAddr::V6(address) => of(0x87, &address.octets()),
        });
    }
    out
}

fn extension(id: &[u8], value: &[u8]) -> Vec<u8> {
    of(SEQUENCE, &[of(OBJECT_ID, id), of(OCTET_STRING, value)].concat())
}

fn signed_with() -> Vec<u8> {
    of(SEQUENCE, &of(OBJECT_ID, ECDSA_WITH_SHA256))
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    of(BIT_STRING, &[&[0], bytes].concat())
}

/// Years before 2050 have two digits: the standard wants it so.
fn moment(at: Time) -> Vec<u8> {
    let digits: String = at.to_rfc3339().chars().filter(char::is_ascii_digit).take(14).collect();
    match &digits[..4] < "2050" {
        true => of(UTC_TIME, format!("{}Z", &digits[2..]).as_bytes()),
        false => of(GENERALIZED_TIME, format!("{digits}Z").as_bytes()),
    }
}

/// A tag, a length, and what it holds.
fn of(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..0x80 => out.push(length as u8),
        0x80..0x100 => out.extend([0x81, length as u8]),
        0x100..0x1_0000 => out.extend([0x82, (length >> 8) as u8, length as u8]),
        _ => unreachable!("a certificate of a few names is far below 64 KiB"),
    }
    out.extend(content);
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn lengths_and_years_are_as_the_standard_wants() {
        assert_eq!(of(4, &[7; 3]), [4, 3, 7, 7, 7]);
        assert_eq!(of(4, &[7; 200])[..3], [4, 0x81, 200]);
        assert_eq!(of(4, &[7; 300])[..4], [4, 0x82, 1, 44]);
        let text = |at: &str| {
            let bytes = moment(Time::parse(at).unwrap());
            (bytes[0], String::from_utf8(bytes[2..].to_vec()).unwrap())
        };
        assert_eq!(text("2026-11-21T17:00:01Z"), (UTC_TIME, "261121170001Z".to_owned()));
        assert_eq!(text("2050-01-01T00:00:00Z"), (GENERALIZED_TIME, "20500101000000Z".to_owned()));
    }

    #[test]
    fn key_is_unseen_by_others_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let now = Time(1_800_000_000_000);
        let files = self_sign(dir.path(), &[], &[], now).unwrap();
        let mode = fs::metadata(&files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let before = fs::read(&files.cert).unwrap();
        self_sign(dir.path(), &["other".to_owned()], &[], now).unwrap();
        assert_eq!(fs::read(&files.cert).unwrap(), before);
    }
}
