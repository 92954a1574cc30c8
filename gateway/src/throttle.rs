//! Delays the answers to addresses that repeatedly send wrong tokens.
//!
//! A right token is never delayed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::rate_limit::RateLimit;

/// How many wrong tokens are answered without delay, for typos and monitors with an old token.
const FREE_FAILURES: u32 = 3;
/// The first delay. Each further delay is twice as long as the one before.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// The longest delay, which bounds how long a wrong token keeps a connection open.
const MAX_DELAY: Duration = Duration::from_secs(3);
/// The failures of an address expire after this time without another.
const EXPIRY: Duration = Duration::from_mins(5);
/// How many unknown tokens of one network are processed each second. Further ones are refused at once.
const UNKNOWN_PER_SECOND: u32 = 10;
/// How many addresses are stored before the older half of them is evicted.
const MAX_ADDRESSES: usize = 4096;

/// The recent failures of each address.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    failures: Mutex<HashMap<IpAddr, Failures>>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
    rate: RateLimit,
}

impl Throttle {
    /// Records an unknown token from `peer`. Returns the delay of its answer, or `None` if its network sends too many.
    ///
    /// Must be called before anything is awaited, so that a caller that disconnects is counted as well.
    pub(crate) fn record_failure(&self, peer: IpAddr) -> Option<Duration> {
        let now = Instant::now();
        let mut failures = self.failures.lock();
        let peer = network(peer);
        if failures.len() >= MAX_ADDRESSES && !failures.contains_key(&peer) {
            // Evicting half of them at once keeps the average cost of an address small.
            let mut times: Vec<_> = failures.values().map(|entry| entry.last).collect();
            let (_, median, _) = times.select_nth_unstable(MAX_ADDRESSES / 2);
            failures.retain(|_, entry| entry.last > *median);
        }
        let entry = failures.entry(peer).or_insert_with(|| Failures {
            count: 0,
            last: now,
            rate: RateLimit::new(now),
        });
        if now.duration_since(entry.last) >= EXPIRY {
            entry.count = 0;
        }
        entry.last = now;
        entry.count = entry.count.saturating_add(1);
        let is_allowed = entry.rate.allow(UNKNOWN_PER_SECOND, now);
        is_allowed.then(|| match entry.count.checked_sub(FREE_FAILURES + 1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_DELAY.saturating_mul(1 << doublings.min(10)).min(MAX_DELAY),
        })
    }

    /// Removes a recorded failure of `peer` after its token turned out to be valid.
    pub(crate) fn forgive(&self, peer: IpAddr) {
        if let Some(entry) = self.failures.lock().get_mut(&network(peer)) {
            entry.count = entry.count.saturating_sub(1);
        }
    }
}

/// Returns an IPv4 address itself, or the /64 network of an IPv6 address, since a single host usually has a whole one.
pub(crate) fn network(peer: IpAddr) -> IpAddr {
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
        let delay = |_| throttle.record_failure(peer).map(|delay| delay.as_millis());
        let delays: Vec<_> = (0..10).map_while(delay).collect();
        assert_eq!(delays, [0, 0, 0, 100, 200, 400, 800, 1600, 3000, 3000]);
    }

    #[test]
    fn more_than_ten_a_second_are_refused_at_once() {
        let throttle = Throttle::default();
        let peer = IpAddr::from([10, 0, 0, 1]);
        let begun = Instant::now();
        let admitted = (0..1000).filter(|_| throttle.record_failure(peer).is_some()).count();
        let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
        assert!((10..=10 * (seconds + 1)).contains(&admitted), "{admitted} in {seconds} s");
    }

    #[test]
    fn a_token_that_turns_out_to_be_valid_is_not_a_failure() {
        let throttle = Throttle::default();
        let peer = IpAddr::from([10, 0, 0, 1]);
        for _ in 0..8 {
            assert_eq!(throttle.record_failure(peer), Some(Duration::ZERO));
            throttle.forgive(peer);
        }
    }

    #[test]
    fn another_address_is_not_delayed() {
        let throttle = Throttle::default();
        for _ in 0..10 {
            throttle.record_failure(IpAddr::from([10, 0, 0, 1]));
        }
        assert_eq!(throttle.record_failure(IpAddr::from([10, 0, 0, 2])), Some(Duration::ZERO));
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let throttle = Throttle::default();
        for host in 0..9_u16 {
            throttle.record_failure(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, host).into());
        }
        assert!(
            throttle.record_failure(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9).into())
                > Some(Duration::ZERO)
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
