//! Asks several servers for the same thing, until one of them answers.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use probe::{Failure, Steps, step};
use tokio::time::timeout;

/// How long a server may be silent before the next one is asked as well.
const HEAD_START: Duration = Duration::from_millis(500);

/// What the first server that answers says, or the failure of the first server.
///
/// The servers are asked in order. A server that refuses to answer or is silent does not prevent the others from answering.
/// Meanwhile, `steps` are those of the first server that has neither answered nor failed.
pub async fn first_answer<'a, S, T, F>(
    servers: &'a [S],
    steps: &Steps,
    ask: impl Fn(&'a S, Arc<Steps>) -> F,
) -> Result<T, Failure>
where
    S: Display,
    F: Future<Output = Result<T, Failure>>,
{
    let ask = async |index: usize, steps| (index, ask(&servers[index], steps).await);
    let mut asked = FuturesUnordered::new();
    let mut waiting: Vec<(usize, Arc<Steps>)> = Vec::new();
    let mut first_failure: Option<(usize, Failure)> = None;
    let mut next = 0;
    loop {
        if next < servers.len() {
            let own = Arc::new(Steps::new());
            asked.push(ask(next, own.clone()));
            waiting.push((next, own));
            next += 1;
        }
        match waiting.first() {
            Some((0, own)) => steps.follow(own.clone()),
            Some((index, own)) => steps.follow_in_context(own.clone(), servers[*index].to_string()),
            None => break,
        }
        let wait = if next < servers.len() { HEAD_START } else { Duration::MAX };
        match timeout(wait, asked.next()).await {
            Ok(Some((_, Ok(answer)))) => return Ok(answer),
            Ok(Some((index, Err(failure)))) => {
                waiting.retain(|(other, _)| *other != index);
                if first_failure.as_ref().is_none_or(|(first, _)| index < *first) {
                    first_failure = Some((index, failure));
                }
            }
            Ok(None) | Err(_) => {}
        }
    }
    let failure = first_failure.map(|(_, failure)| failure);
    Err(failure.unwrap_or_else(|| Failure::msg(step::CONNECT, "no server is configured")))
}
