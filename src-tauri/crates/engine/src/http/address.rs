//! Which addresses may be connected to, on behalf of whom.
//!
//! A server on the internet could name `https://192.168.1.1/` as its authorization server, or a name
//! that resolves there, and have a program inside the network call on it. So the check is made on
//! the addresses that are connected to, after the names have been looked up.

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// From how near an address can be reached. Ordered: who may go further in may also go further out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// From anywhere.
    Public,
    /// From this network only: private, link-local, shared (RFC 6598), multicast.
    Private,
    /// From this machine only.
    Loopback,
}

impl Reach {
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(v4: Ipv4Addr) -> Self {
        let [first, second, third, _] = v4.octets();
        // 0.0.0.0 reaches this machine on Linux and macOS.
        if v4.is_loopback() || first == 0 {
            return Self::Loopback;
        }
        let local = v4.is_private()
            || v4.is_link_local()
            || v4.is_multicast()
            // Reserved, and broadcast among it.
            || first >= 240
            // Shared by a provider's customers (RFC 6598).
            || (first == 100 && second & 0xc0 == 64)
            // Protocol assignments (RFC 6890), the old relay of 6to4 (RFC 7526), and where networks
            // measure themselves (RFC 2544).
            || matches!((first, second, third), (192, 0, 0) | (192, 88, 99) | (198, 18 | 19, _))
            // Nobody's, for documents (RFC 5737).
            || v4.is_documentation();
        if local { Self::Private } else { Self::Public }
    }

    fn of_v6(v6: Ipv6Addr) -> Self {
        if v6.is_loopback() || v6.is_unspecified() {
            return Self::Loopback;
        }
        let [one, two, three, four, five, six, seven, eight] = v6.segments();
        let last = || Self::of_v4(embedded(seven, eight));
        match [one, two, three, four, five, six] {
            // An IPv4 address as it is (RFC 4291 §2.5.5.2).
            [0, 0, 0, 0, 0, 0xffff] => last(),
            // Translated on the way (RFC 6052, RFC 7915): the last 32 bits are what is reached.
            [0x64, 0xff9b, 0, 0, 0, 0] | [0, 0, 0, 0, 0xffff, 0] => last(),
            // A form without any use by now (RFC 4291 §2.5.5.1): nobody serves there, and some systems
            // take it for the IPv4 address in it.
            [0, 0, 0, 0, 0, 0] => last().max(Self::Private),
            // 6to4 (RFC 3056).
            [0x2002, high, low, ..] => Self::of_v4(embedded(high, low)),
            // A tunnel inside a site (RFC 5214 §6.1).
            [_, _, _, _, 0 | 0x200, 0x5efe] => Self::of_unicast(v6).max(last()),
            _ => Self::of_unicast(v6),
        }
    }

    /// Only `2000::/3` is handed out to networks of the internet, and not all of it.
    fn of_unicast(v6: Ipv6Addr) -> Self {
        let [one, two, ..] = v6.segments();
        let is_handed_out = one & 0xe000 == 0x2000;
        // Teredo, benchmarks, identifiers and the like (RFC 6890), and documents (RFC 3849, RFC 9637).
        let is_special = match one {
            0x2001 => two < 0x200 || two == 0xdb8,
            0x3fff => two < 0x1000,
            _ => false,
        };
        if is_handed_out && !is_special { Self::Public } else { Self::Private }
    }

    /// What the URL's host says by itself, before any look-up.
    pub(super) fn of_written(url: &Url) -> Self {
        match url.host() {
            Some(Host::Ipv4(v4)) => Self::of_v4(v4),
            Some(Host::Ipv6(v6)) => Self::of_v6(v6),
            Some(Host::Domain(name)) if is_localhost(name) => Self::Loopback,
            Some(Host::Domain(_)) | None => Self::Public,
        }
    }

    /// The reach of the server at `url`: the widest of its addresses, and public where there is no
    /// such address. A name that can't be looked up now says nothing of where it leads.
    pub(super) async fn of_server(url: &str, names: &dyn Names) -> io::Result<Self> {
        let Ok(url) = Url::parse(url) else {
            return Ok(Self::Public);
        };
        let Some(Host::Domain(name)) = url.host() else {
            return Ok(Self::of_written(&url));
        };
        let addresses = look_up(names, name).await?;
        addresses.into_iter().map(Self::of).min().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low))
}

/// `localhost` and what lies below it stand for this machine (RFC 6761 §6.3).
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Addresses on their way.
pub type LookingUp<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Looks names up.
pub trait Names: Send + Sync {
    /// The addresses behind a host name.
    fn look_up<'a>(&'a self, name: &'a str) -> LookingUp<'a>;
}

/// The system's own look-up.
#[derive(Debug, Clone, Copy)]
pub struct SystemNames;

impl Names for SystemNames {
    fn look_up<'a>(&'a self, name: &'a str) -> LookingUp<'a> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// `localhost` is answered here, so that no resolver can send it elsewhere.
async fn look_up(names: &dyn Names, name: &str) -> io::Result<Vec<IpAddr>> {
    if is_localhost(name) {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    names.look_up(name).await
}

/// All the addresses behind a name lie further in than allowed; nothing was connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooNear(pub(super) Reach);

impl fmt::Display for TooNear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads to a private address")
    }
}

impl std::error::Error for TooNear {}

/// Hands the client only addresses that it may connect to.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) names: Arc<dyn Names>,
    /// The furthest in that is allowed.
    pub(super) innermost: Reach,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = look_up(guard.names.as_ref(), name.as_str()).await?;
            let nearest = found.iter().copied().map(Reach::of).min();
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| Reach::of(*address) <= guard.innermost)
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            match nearest {
                Some(reach) if allowed.is_empty() => Err(TooNear(reach).into()),
                Some(_) => Ok(Box::new(allowed.into_iter()) as Addrs),
                None => Err(io::Error::from(io::ErrorKind::NotFound).into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(addresses: &[&str], reach: Reach) {
        for address in addresses {
            assert_eq!(Reach::of(address.parse().unwrap()), reach, "{address}");
        }
    }

    #[test]
    fn addresses_are_told_apart_by_who_can_reach_them() {
        check(
            &["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"],
            Reach::Loopback,
        );
        check(
            &[
                "10.1.2.3",
                "172.16.0.1",
                "172.31.255.255",
                "192.168.1.1",
                "169.254.169.254",
                "100.64.0.1",
                "100.127.255.255",
                "192.0.0.8",
                "192.0.2.1",
                "192.88.99.1",
                "198.18.0.1",
                "198.19.255.255",
                "198.51.100.1",
                "203.0.113.1",
                "224.0.0.251",
                "240.0.0.1",
                "255.255.255.255",
                "fd00::1",
                "fe80::1",
                "fec0::1",
                "ff02::fb",
                "100::1",
                "2001::1",
                "2001:2::1",
                "2001:10::1",
                "2001:20::1",
                "2001:db8::1",
                "3fff::1",
                "5f00::1",
                "4000::1",
                "::8.8.8.8",
                "::10.0.0.1",
                "::ffff:10.0.0.1",
                "::ffff:198.18.0.1",
                "::ffff:0:10.0.0.1",
                "64:ff9b::a00:1",
                "64:ff9b::198.18.0.1",
                "64:ff9b:1::1.1.1.1",
                "2002:a00:1::",
                "2606:4700::5efe:10.0.0.1",
                "2606:4700::200:5efe:192.168.1.1",
            ],
            Reach::Private,
        );
        check(
            &[
                "1.1.1.1",
                "172.32.0.1",
                "100.128.0.1",
                "198.17.255.255",
                "198.20.0.1",
                "192.0.1.1",
                "2606:4700::1111",
                "2001:200::1",
                "2001:4860:4860::8888",
                "2600::1",
                "3ffe::1",
                "::ffff:1.1.1.1",
                "64:ff9b::101:101",
                "2002:101:101::1",
            ],
            Reach::Public,
        );
        check(&["::127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::1"], Reach::Loopback);
    }

    #[test]
    fn addresses_in_disguise_are_recognised_in_a_url() {
        let written = |url: &str| Reach::of_written(&Url::parse(url).unwrap());
        for url in [
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::ffff:7f00:1]/",
            "http://LocalHost./",
            "http://app.localhost:3000/",
        ] {
            assert_eq!(written(url), Reach::Loopback, "{url}");
        }
        assert_eq!(written("https://0xa.0.0.1/"), Reach::Private);
        assert_eq!(written("https://localhost.example/"), Reach::Public);
    }

    struct Fixed(&'static [&'static str]);

    impl Names for Fixed {
        fn look_up<'a>(&'a self, _: &'a str) -> LookingUp<'a> {
            Box::pin(async { Ok(self.0.iter().map(|a| a.parse().unwrap()).collect()) })
        }
    }

    #[tokio::test]
    async fn a_server_counts_as_private_only_if_all_its_addresses_are() {
        let reach = async |addresses| {
            Reach::of_server("https://mcp.example/mcp", &Fixed(addresses)).await.ok()
        };
        assert_eq!(reach(&["10.0.0.1", "10.0.0.2"]).await, Some(Reach::Private));
        assert_eq!(reach(&["10.0.0.1", "1.1.1.1"]).await, Some(Reach::Public));
        assert_eq!(reach(&[]).await, None);
        let none = Reach::of_server("no url", &Fixed(&["10.0.0.1"])).await;
        assert_eq!(none.unwrap(), Reach::Public);
    }
}
