//! Selects the waiting connection that is served next, and the open ones that make room.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::task::Id;

use super::ServerLimits;
use super::activity::Activity;
use super::statistics::ServerStatistics;
use crate::throttle::network;

/// While others wait, one address has at most one in this many places.
const SHARE: usize = 4;

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct ConnectionTable {
    limits: ServerLimits,
    statistics: Arc<ServerStatistics>,
    /// In the order of their acceptance.
    open: Vec<OpenConnection>,
    waiting: VecDeque<(TcpStream, IpAddr)>,
    /// How many open connections each network has.
    by_network: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct OpenConnection {
    task: Id,
    network: IpAddr,
    activity: Arc<Activity>,
}

impl ConnectionTable {
    pub(super) fn new(limits: ServerLimits, statistics: Arc<ServerStatistics>) -> Self {
        let (open, waiting, by_network) = Default::default();
        Self { limits, statistics, open, waiting, by_network }
    }

    /// Whether another connection may be accepted. Further ones stay in the system's backlog.
    pub(super) fn accepts(&self) -> bool {
        self.has_place() || self.waiting.len() < self.limits.max_waiting.into()
    }

    /// Whether connections wait for a place.
    pub(super) fn is_full(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Adds an accepted connection.
    pub(super) fn enqueue(&mut self, stream: TcpStream, peer: IpAddr) {
        self.waiting.push_back((stream, peer));
    }

    /// Returns the connection that gets a free place: the first of an address that has less than its share, or else the first.
    pub(super) fn next(&mut self) -> Option<(TcpStream, IpAddr)> {
        if !self.has_place() {
            return None;
        }
        let first = self.waiting.iter().position(|(_, peer)| !self.is_crowding(network(*peer)));
        self.waiting.remove(first.unwrap_or(0))
    }

    /// Records the task that serves a connection.
    pub(super) fn insert(&mut self, task: Id, peer: IpAddr, activity: Arc<Activity>) {
        let network = network(peer);
        *self.by_network.entry(network).or_default() += 1;
        self.open.push(OpenConnection { task, network, activity });
        self.statistics.set_connections(self.open.len());
    }

    /// Removes a connection that has ended.
    pub(super) fn remove(&mut self, task: Id) {
        let Some(index) = self.open.iter().position(|connection| connection.task == task) else {
            return;
        };
        let OpenConnection { network, .. } = self.open.remove(index);
        self.statistics.set_connections(self.open.len());
        if let Some(count) = self.by_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.by_network.remove(&network);
            }
        }
    }

    /// Evicts as many connections as others wait, or one if no file descriptors are left.
    ///
    /// Connections of crowding addresses are evicted before others, and older ones before newer ones.
    pub(super) fn make_room(&self, out_of_files: bool) {
        let needed = self.waiting.len().max(out_of_files.into());
        let ending = self.open.iter().filter(|open| open.activity.is_evicted()).count();
        let mut missing = needed.saturating_sub(ending);
        if missing == 0 {
            return;
        }
        let deserved =
            out_of_files || self.waiting.iter().any(|(_, peer)| !self.is_crowding(network(*peer)));
        // An address that has its share takes no place from those that have less.
        for crowding in [true, false].into_iter().take(1 + usize::from(deserved)) {
            for OpenConnection { network, activity, .. } in &self.open {
                if missing > 0
                    && self.is_crowding(*network) == crowding
                    && !activity.is_evicted()
                    && activity.is_evictable(&self.limits, crowding)
                {
                    activity.evict();
                    self.statistics.count_eviction();
                    missing -= 1;
                }
            }
        }
    }

    fn has_place(&self) -> bool {
        self.open.len() < self.limits.max_connections.into()
    }

    /// Whether an address has its share of the places.
    fn is_crowding(&self, network: IpAddr) -> bool {
        self.by_network.get(&network).is_some_and(|count| *count >= self.share())
    }

    fn share(&self) -> usize {
        (usize::from(self.limits.max_connections) / SHARE).max(1)
    }
}
