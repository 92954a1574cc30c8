//! Resolves names: one look-up of a name at a time, on few threads.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use probe::Cause;
use tokio::sync::watch;
use tokio::time::timeout;

/// The number of concurrent look-ups. One blocks its thread for up to a minute if no DNS server answers.
const MAX_THREADS: usize = 32;

/// How long to wait for a new answer if the last one may be used instead. The system repeats a lost question only after 5 s.
const GRACE: Duration = Duration::from_millis(250);

/// The age up to which the last answer may be used while a new one is delayed.
const MAX_AGE: Duration = Duration::from_secs(30);

type Resolution = Result<Arc<[IpAddr]>, Cause>;
type LookUp = Box<dyn Fn(&str) -> Resolution + Send + Sync>;

static SYSTEM: LazyLock<Arc<Resolver>> =
    LazyLock::new(|| Resolver::new(|name| look_up(name).map_err(Cause::from)));

/// Returns the addresses of `name` from the system's resolver.
///
/// Concurrent callers share a look-up, which outlives a caller that is cancelled.
/// If a look-up takes longer than [`GRACE`], the last answer is returned, unless that was an error or is older than [`MAX_AGE`].
pub(crate) async fn resolve(name: &str) -> Resolution {
    SYSTEM.resolve(name).await
}

fn look_up(name: &str) -> io::Result<Arc<[IpAddr]>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

struct Resolver {
    look_up: LookUp,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The look-ups that run or are queued.
    pending: HashMap<String, watch::Sender<Option<Resolution>>>,
    queued: VecDeque<String>,
    threads: usize,
    last: HashMap<String, (Instant, Arc<[IpAddr]>)>,
}

impl Resolver {
    fn new(look_up: impl Fn(&str) -> Resolution + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { look_up: Box::new(look_up), state: Mutex::default() })
    }

    async fn resolve(self: &Arc<Self>, name: &str) -> Resolution {
        let (receiver, last) = {
            let mut state = self.state.lock();
            (self.begin(&mut state, name), state.last(name))
        };
        let answer = received(receiver);
        match last {
            Some(last) => timeout(GRACE, answer).await.unwrap_or(Ok(last)),
            None => answer.await,
        }
    }

    /// Joins the look-up of `name`, or queues one.
    fn begin(
        self: &Arc<Self>,
        state: &mut State,
        name: &str,
    ) -> watch::Receiver<Option<Resolution>> {
        if let Some(pending) = state.pending.get(name) {
            return pending.subscribe();
        }
        let (sender, receiver) = watch::channel(None);
        state.pending.insert(name.to_owned(), sender);
        state.queued.push_back(name.to_owned());
        if state.threads < MAX_THREADS {
            self.start_thread(state);
        }
        receiver
    }

    fn start_thread(self: &Arc<Self>, state: &mut State) {
        let resolver = self.clone();
        let thread = thread::Builder::new().name("resolver".to_owned());
        match thread.spawn(move || resolver.work()) {
            Ok(_) => state.threads += 1,
            // Another thread takes the look-up from the queue.
            Err(_) if state.threads > 0 => {}
            Err(error) => state.fail_queued(&error.into()),
        }
    }

    /// Performs queued look-ups until none is left.
    ///
    /// The threads are not those of a runtime, since a look-up cannot be cancelled and would fill its pool.
    fn work(&self) {
        while let Some(name) = self.next_queued() {
            let answer = (self.look_up)(&name);
            self.state.lock().finish(&name, answer);
        }
    }

    /// Returns the next name to look up. Without one, the thread ends.
    fn next_queued(&self) -> Option<String> {
        let mut state = self.state.lock();
        let name = state.queued.pop_front();
        if name.is_none() {
            state.threads -= 1;
        }
        name
    }
}

impl State {
    fn last(&self, name: &str) -> Option<Arc<[IpAddr]>> {
        self.last.get(name).filter(|(at, _)| at.elapsed() <= MAX_AGE).map(|(_, last)| last.clone())
    }

    fn finish(&mut self, name: &str, answer: Resolution) {
        self.last.retain(|_, (at, _)| at.elapsed() <= MAX_AGE);
        match &answer {
            Ok(addresses) => {
                drop(self.last.insert(name.to_owned(), (Instant::now(), addresses.clone())));
            }
            Err(_) => drop(self.last.remove(name)),
        }
        if let Some(sender) = self.pending.remove(name) {
            sender.send_replace(Some(answer));
        }
    }

    fn fail_queued(&mut self, cause: &Cause) {
        while let Some(name) = self.queued.pop_front() {
            self.finish(&name, Err(cause.clone()));
        }
    }
}

async fn received(mut receiver: watch::Receiver<Option<Resolution>>) -> Resolution {
    let answer = receiver.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
    answer.unwrap_or_else(|| Err(Cause::msg("the resolver has failed")))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use tokio::task::JoinSet;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// A resolver that answers each look-up with what the test sends, and reports its name when it begins.
    fn controlled() -> (Arc<Resolver>, Sender<Resolution>, Receiver<String>) {
        let (answer, answers) = channel();
        let (begin, begun) = channel();
        let answers = Mutex::new(answers);
        let resolver = Resolver::new(move |name: &str| {
            begin.send(name.to_owned()).unwrap();
            answers.lock().recv().unwrap_or_else(|_| Err(Cause::msg("the test has ended")))
        });
        (resolver, answer, begun)
    }

    fn found() -> Arc<[IpAddr]> {
        [ADDRESS].into()
    }

    async fn assert_resolves(resolver: &Arc<Resolver>) {
        assert_eq!(*resolver.resolve("db").await.unwrap(), [ADDRESS]);
    }

    /// Starts `names` look-ups of each name by two callers.
    fn spawn_callers(resolver: &Arc<Resolver>, names: usize) -> JoinSet<Resolution> {
        let mut callers = JoinSet::new();
        for name in (0..names).chain(0..names) {
            let resolver = resolver.clone();
            callers.spawn(async move { resolver.resolve(&name.to_string()).await });
        }
        callers
    }

    #[tokio::test]
    async fn silent_look_ups_are_shared_and_bounded() {
        const NAMES: usize = MAX_THREADS * 2;
        let running = Arc::new(AtomicUsize::new(0));
        let (silence, silent) = channel::<()>();
        let (silent, counter) = (Mutex::new(silent), running.clone());
        let resolver = Resolver::new(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            silent.lock().recv().unwrap_err();
            Ok(found())
        });
        let callers = spawn_callers(&resolver, NAMES);
        let all_pending = async {
            while running.load(Ordering::SeqCst) < MAX_THREADS
                || resolver.state.lock().pending.len() < NAMES
            {
                tokio::task::yield_now().await;
            }
        };
        all_pending.await;
        assert_eq!(running.load(Ordering::SeqCst), MAX_THREADS);
        assert_eq!(resolver.state.lock().threads, MAX_THREADS);
        drop(silence);
        assert!(callers.join_all().await.iter().all(Result::is_ok));
        assert_eq!(running.load(Ordering::SeqCst), NAMES, "callers of one name share its look-up");
    }

    #[tokio::test]
    async fn the_last_answer_is_used_while_the_resolver_is_silent() {
        let (resolver, answer, begun) = controlled();
        answer.send(Ok(found())).unwrap();
        assert_resolves(&resolver).await;
        assert_resolves(&resolver).await;
        assert_resolves(&resolver).await;
        drop(answer);
        assert_eq!(begun.iter().take(2).count(), 2, "the delayed look-up is shared");
        assert!(begun.try_recv().is_err());
    }

    #[tokio::test]
    async fn an_answer_that_is_too_old_is_not_used() {
        let (resolver, answer, _begun) = controlled();
        answer.send(Ok(found())).unwrap();
        assert_resolves(&resolver).await;
        let old = Instant::now().checked_sub(MAX_AGE + GRACE).unwrap();
        resolver.state.lock().last.get_mut("db").unwrap().0 = old;
        let waiting = resolver.resolve("db");
        assert!(timeout(GRACE * 2, waiting).await.is_err());
        drop(answer);
    }

    #[tokio::test]
    async fn an_error_replaces_the_last_answer() {
        let (resolver, answer, _begun) = controlled();
        answer.send(Ok(found())).unwrap();
        assert_resolves(&resolver).await;
        answer.send(Err(Cause::msg("unknown"))).unwrap();
        assert_eq!(resolver.resolve("db").await.unwrap_err().text(), "unknown");
        assert!(resolver.state.lock().last.is_empty());
    }

    #[tokio::test]
    async fn a_look_up_outlives_its_caller() {
        let (resolver, answer, begun) = controlled();
        assert!(timeout(Duration::ZERO, resolver.resolve("db")).await.is_err());
        assert_eq!(begun.recv().unwrap(), "db");
        let next = tokio::spawn({
            let resolver = resolver.clone();
            async move { resolver.resolve("db").await }
        });
        tokio::task::yield_now().await;
        answer.send(Ok(found())).unwrap();
        assert!(next.await.unwrap().is_ok());
        assert!(begun.try_recv().is_err(), "the second caller has joined the look-up");
    }
}
