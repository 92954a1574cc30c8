//! Delays the answers to repeated wrong tokens, for each address; a right token is never delayed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How many wrong tokens are answered without delay, such as a typo, or a monitor with an old token.
const FREE_FAILURES: u32 = 3;
/// The first delay; each one after it is twice as long.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// The longest delay, which bounds how long a wrong token keeps a connection open.
const MAX_DELAY: Duration = Duration::from_secs(3);
/// The failures of an address expire after this time without another.
const EXPIRY: Duration = Duration::from_mins(5);
/// How many addresses are stored, the latest.
const MAX_ADDRESSES: usize = 4096;

/// The recent failures of each address.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    failures: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

impl Throttle {
    /// Records a wrong token from `peer`, and returns the delay of its answer.
    pub(crate) fn record_failure(&self, peer: IpAddr) -> Duration {
        let mut failures = self.failures.lock();
        let peer = network(peer);
        if failures.len() >= MAX_ADDRESSES && !failures.contains_key(&peer) {
            // Half of them are evicted at once, so that the cost for each address is small.
            let mut times: Vec<_> = failures.values().map(|(_, last)| *last).collect();
            let (_, median, _) = times.select_nth_unstable(MAX_ADDRESSES / 2);
            failures.retain(|_, (_, last)| *last > *median);
        }
        let (count, last) = failures.entry(peer).or_insert((0, Instant::now()));
        if last.elapsed() >= EXPIRY {
            *count = 0;
        }
        *last = Instant::now();
        *count += 1;
        match count.checked_sub(FREE_FAILURES + 1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_DELAY.saturating_mul(1 << doublings.min(10)).min(MAX_DELAY),
        }
    }
}

/// Returns the network of an IPv6 address, of which a single host usually has a whole /64.
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
    fn delays_double_up_to_a_maximum() {
        let throttle = Throttle::default();
        let peer = IpAddr::from([10, 0, 0, 1]);
        let delays: Vec<_> = (0..12).map(|_| throttle.record_failure(peer).as_millis()).collect();
        assert_eq!(delays, [0, 0, 0, 100, 200, 400, 800, 1600, 3000, 3000, 3000, 3000]);
    }

    #[test]
    fn another_address_is_not_delayed() {
        let throttle = Throttle::default();
        for _ in 0..10 {
            throttle.record_failure(IpAddr::from([10, 0, 0, 1]));
        }
        assert_eq!(throttle.record_failure(IpAddr::from([10, 0, 0, 2])), Duration::ZERO);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
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
    fn the_number_of_addresses_is_bounded() {
        let throttle = Throttle::default();
        for host in 0..20_000_u32 {
            throttle.record_failure(IpAddr::from(host.to_be_bytes()));
        }
        assert!(throttle.failures.lock().len() <= MAX_ADDRESSES);
    }
}
