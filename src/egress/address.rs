//! What an IP address is for, by the registries of special addresses (RFC 6890 and its successors).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// From where an address can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// From everywhere.
    Public,
    /// From this machine, or from the organisation's own network.
    Internal,
    /// Of no use to a gateway: link-local, multicast, reserved, and the metadata services of clouds.
    Never,
}

/// Answers with credentials to whoever asks from inside a cloud, although the address looks like any other.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];

impl Reach {
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => embedded_v4(v6).map_or_else(|| Self::of_v6(v6), Self::of_v4),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, c, _] = address.octets();
        match (a, b, c) {
            _ if METADATA_V4.contains(&address) => Self::Never,
            (10 | 127, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Self::Internal,
            // This network, link-local, protocol assignments, benchmarks, documentation, 6to4 relays, multicast,
            // reserved, broadcast.
            (0 | 224.., ..)
            | (169, 254, _)
            | (198, 18..=19, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 51, 100)
            | (203, 0, 113) => Self::Never,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let segments = address.segments();
        match segments {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Internal,
            // AWS and Google answer with credentials here, in the range of private addresses.
            [0xfd00, 0x0ec2, ..] | [0xfd20, 0x00ce, ..] => Self::Never,
            [first, ..] if first & 0xfe00 == 0xfc00 => Self::Internal,
            // Protocol assignments (Teredo and the like) and documentation.
            [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Self::Never,
            [first, ..] if first & 0xe000 == 0x2000 => Self::Public,
            _ => Self::Never,
        }
    }
}

/// The address behind one that only wraps it: mapped, compatible, NAT64 and 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        // The unspecified one and loopback, which wrap nothing.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0 | 0xffff, 0, high, low]
        | [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(address: &str) -> Reach {
        Reach::of(address.parse().unwrap())
    }

    #[test]
    fn f56_only_what_everyone_can_reach_is_public() {
        for public in ["93.184.216.34", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00::1"]
        {
            assert_eq!(reach(public), Reach::Public, "{public}");
        }
        for internal in [
            "127.0.0.1",
            "127.8.8.8",
            "10.0.0.9",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd12::1",
            "fc00::1",
        ] {
            assert_eq!(reach(internal), Reach::Internal, "{internal}");
        }
        for never in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.0.192",
            "198.18.0.1",
            "203.0.113.7",
            "100.100.100.200",
            "168.63.129.16",
            "::",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "2001:db8::1",
            "2001:0:4136:e378::1",
            "64:ff9b:1::a00:9",
            "100::1",
        ] {
            assert_eq!(reach(never), Reach::Never, "{never}");
        }
    }

    #[test]
    fn f56_a_wrapped_address_is_the_one_inside() {
        for (wrapped, inside) in [
            ("::ffff:127.0.0.1", Reach::Internal),
            ("::ffff:169.254.169.254", Reach::Never),
            ("::ffff:0:10.0.0.1", Reach::Internal),
            ("::10.0.0.1", Reach::Internal),
            ("64:ff9b::a9fe:a9fe", Reach::Never),
            ("64:ff9b::a00:9", Reach::Internal),
            ("64:ff9b::5db8:d822", Reach::Public),
            ("2002:7f00:1::", Reach::Internal),
            ("2002:a9fe:a9fe::", Reach::Never),
        ] {
            assert_eq!(reach(wrapped), inside, "{wrapped}");
        }
    }
}
