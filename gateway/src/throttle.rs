//! Slows down who tries wrong tokens, address by address. A right token is never slowed down, wherever it comes from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// So many wrong tokens are answered at once: a typo, or a monitor with the token before last.
const FREE: u32 = 3;
/// What the first slow answer waits; each one after that waits twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// What an answer waits at most, so that nobody holds a connection for long.
const LONGEST: Duration = Duration::from_secs(3);
/// After so long without a wrong token, an address is forgiven.
const FORGIVEN: Duration = Duration::from_mins(5);
/// So many addresses are remembered, the latest.
const ADDRESSES: usize = 4096;

/// The wrong tokens of late, by address.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    wrong: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

impl Throttle {
    /// Notes a wrong token from `peer` and says how long its answer must wait.
    pub(crate) fn record_failure(&self, peer: IpAddr) -> Duration {
        let mut wrong = self.wrong.lock();
        let peer = network(peer);
        if wrong.len() >= ADDRESSES && !wrong.contains_key(&peer) {
            // The older half goes at once, so that a flood of addresses costs little for each.
            let mut times: Vec<_> = wrong.values().map(|(_, last)| *last).collect();
            let (_, median, _) = times.select_nth_unstable(ADDRESSES / 2);
            wrong.retain(|_, (_, last)| *last > *median);
        }
        let (count, last) = wrong.entry(peer).or_insert((0, Instant::now()));
        if last.elapsed() >= FORGIVEN {
            *count = 0;
        }
        *last = Instant::now();
        *count += 1;
        match count.checked_sub(FREE + 1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST.saturating_mul(1 << doublings.min(10)).min(LONGEST),
        }
    }
}

/// What one client can choose from freely counts as one address: an IPv6 host has at least a /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tokens_wait_longer_and_longer_up_to_a_bound() {
        let throttle = Throttle::default();
        let peer = IpAddr::from([10, 0, 0, 1]);
        let waits: Vec<_> = (0..12).map(|_| throttle.record_failure(peer).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200, 400, 800, 1600, 3000, 3000, 3000, 3000]);
    }

    #[test]
    fn another_address_is_not_slowed_down() {
        let throttle = Throttle::default();
        for _ in 0..10 {
            throttle.record_failure(IpAddr::from([10, 0, 0, 1]));
        }
        assert_eq!(throttle.record_failure(IpAddr::from([10, 0, 0, 2])), Duration::ZERO);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let throttle = Throttle::default();
        for host in 0..10_u16 {
            throttle.record_failure(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, host).into());
        }
        assert!(
            throttle.record_failure(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9).into())
                > Duration::ZERO
        );
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::default();
        for host in 0..20_000_u32 {
            throttle.record_failure(IpAddr::from(host.to_be_bytes()));
        }
        assert!(throttle.wrong.lock().len() <= ADDRESSES);
    }
}
