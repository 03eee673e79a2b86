//! Which kind of network an IP address belongs to, so that the guard can tell the open internet
//! from the inside.
//!
//! IPv6 is judged by what is open, not by what is closed: only `2000::/3` is handed out to the
//! public, so a range that is reserved tomorrow is closed today. Forms that carry an IPv4 address
//! inside are judged by that address where the packet really goes there (mapped, NAT64), and are
//! closed where it goes through a tunnel that nobody should offer an agent on (6to4, Teredo).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for. Only [`AddressClass::Public`] may be called unless an operator says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    Public,
    /// 10/8, 172.16/12, 192.168/16 and IPv6 unique local addresses.
    Private,
    Loopback,
    /// Link-local and the old IPv6 site-local range.
    LinkLocal,
    /// Carrier-grade NAT, 100.64/10.
    Shared,
    /// Where clouds hand out the credentials of the machine.
    Metadata,
    /// 0/8 and `::`, which mean the machine itself.
    Unspecified,
    Multicast,
    Documentation,
    Benchmarking,
    /// IPv6 forms that carry an IPv4 address through a relay: 6to4, Teredo, v4-compatible.
    Tunnel,
    /// Everything else that is not handed out to the public.
    Reserved,
}

impl AddressClass {
    pub fn as_str(self) -> &'static str {
        match self {
            AddressClass::Public => "public",
            AddressClass::Private => "private",
            AddressClass::Loopback => "loopback",
            AddressClass::LinkLocal => "link-local",
            AddressClass::Shared => "shared (carrier-grade NAT)",
            AddressClass::Metadata => "cloud metadata",
            AddressClass::Unspecified => "unspecified",
            AddressClass::Multicast => "multicast",
            AddressClass::Documentation => "documentation",
            AddressClass::Benchmarking => "benchmarking",
            AddressClass::Tunnel => "tunnel",
            AddressClass::Reserved => "reserved",
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The class of any address.
pub fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

fn classify_v4(address: Ipv4Addr) -> AddressClass {
    let [a, b, c, d] = address.octets();
    match (a, b, c) {
        (169, 254, 169) if d == 254 => AddressClass::Metadata,
        // Alibaba's and Oracle's, inside ranges that are closed anyway.
        (100, 100, 100) if d == 200 => AddressClass::Metadata,
        (192, 0, 0) if d == 192 => AddressClass::Metadata,
        (0, ..) => AddressClass::Unspecified,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => AddressClass::Private,
        (127, ..) => AddressClass::Loopback,
        (169, 254, _) => AddressClass::LinkLocal,
        (100, 64..=127, _) => AddressClass::Shared,
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => AddressClass::Documentation,
        (198, 18..=19, _) => AddressClass::Benchmarking,
        // Relays of 6to4.
        (192, 88, 99) => AddressClass::Tunnel,
        (192, 0, 0) => AddressClass::Reserved,
        (224..=239, ..) => AddressClass::Multicast,
        (240..=255, ..) => AddressClass::Reserved,
        _ => AddressClass::Public,
    }
}

fn classify_v6(address: Ipv6Addr) -> AddressClass {
    let s = address.segments();
    let embedded = Ipv4Addr::from((u32::from(s[6]) << 16) | u32::from(s[7]));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressClass::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
        [0, 0, 0, 0, 0, 0xffff, ..] => classify_v4(embedded),
        [0, 0, 0, 0, 0, 0, ..] => AddressClass::Tunnel,
        // NAT64: in an IPv6-only network every public IPv4 agent is reached this way.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => classify_v4(embedded),
        [0x64, 0xff9b, 1, ..] => AddressClass::Private,
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] => AddressClass::Metadata,
        [0xfc00..=0xfdff, ..] => AddressClass::Private,
        [0xfe80..=0xfeff, ..] => AddressClass::LinkLocal,
        [0xff00..=0xffff, ..] => AddressClass::Multicast,
        [0x2001, 0, ..] | [0x2002, ..] => AddressClass::Tunnel,
        [0x2001, 0x2, 0, ..] => AddressClass::Benchmarking,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddressClass::Documentation,
        // 2001::/23: protocol assignments.
        [0x2001, 0..=0x1ff, ..] => AddressClass::Reserved,
        [0x2000..=0x3fff, ..] => AddressClass::Public,
        _ => AddressClass::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_fall_into_their_class() {
        for (class, addresses) in [
            (
                AddressClass::Public,
                "1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 192.0.1.1 \
                 198.17.255.255 198.20.0.0 223.255.255.255 2606:4700::1111 2001:4860::8888 \
                 2001:200::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8",
            ),
            (
                AddressClass::Private,
                "10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 fc00::1 fd12::1 \
                 ::ffff:10.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1",
            ),
            (
                AddressClass::Loopback,
                "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1",
            ),
            (AddressClass::LinkLocal, "169.254.0.1 169.254.170.2 fe80::1 febf::1 fec0::1"),
            (AddressClass::Shared, "100.64.0.0 100.127.255.255 ::ffff:100.64.0.1"),
            (
                AddressClass::Metadata,
                "169.254.169.254 100.100.100.200 192.0.0.192 fd00:ec2::254 ::ffff:169.254.169.254",
            ),
            (AddressClass::Unspecified, "0.0.0.0 0.255.255.255 :: ::ffff:0.0.0.0"),
            (AddressClass::Multicast, "224.0.0.1 239.255.255.255 ff02::1"),
            (AddressClass::Documentation, "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff::1"),
            (AddressClass::Benchmarking, "198.18.0.1 198.19.255.255 2001:2::1"),
            (
                AddressClass::Tunnel,
                "::127.0.0.1 ::8.8.8.8 ::2 2002:7f00:1:: 2002:808:808::1 2001::1 \
                 2001:0:a00:1::1 192.88.99.1",
            ),
            (
                AddressClass::Reserved,
                "192.0.0.1 240.0.0.1 255.255.255.255 2001:20::1 2001:1ff::1 100::1 4000::1 \
                 5f00::1 64:ff9b:2::1 fe00::1",
            ),
        ] {
            for address in addresses.split_whitespace() {
                assert_eq!(classify(address.parse().unwrap()), class, "{address}");
            }
        }
    }
}
