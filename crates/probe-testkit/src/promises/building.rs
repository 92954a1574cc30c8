//! A component is built without I/O, and its checks of a working backend succeed.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::suite::Suite;
use crate::{FaultProxy, checks};

/// More bytes than the first message of any client.
const MANY: usize = 16 * 1024;

/// Building without a runtime opens no connection and gives the same names, whether the backend is up or down.
pub(crate) async fn performs_no_io(suite: &Suite) {
    let proxy = suite.proxy();
    let up = suite.component(&proxy).await;
    expect_no_connection(suite, &proxy).await;
    proxy.refuse().await;
    let down = suite.component(&proxy).await;
    let names = |component| checks(component).into_iter().map(|(name, _)| name);
    if !names(&up).eq(names(&down)) {
        suite.fail(&format!(
            "its names are {up:?} while the backend is up, but {down:?} while it is down"
        ));
    }
    if checks(&up).is_empty() {
        suite.fail("it is a group without checks");
    }
    suite.drop(vec![up, down]).await;
}

/// Every check succeeds through the proxy, whatever the section's name, and its target is the proxy's host and port.
pub(crate) async fn checks_succeed(suite: &Suite) {
    let proxy = suite.proxy();
    let component = suite.component(&proxy).await;
    suite.expect_working(&component, "in its first run").await;
    if proxy.counts().accepted == 0 {
        suite.fail("it succeeds without a connection: does the configuration use its address?");
    }
    for (name, check) in suite.checks(&component) {
        let target = check.target();
        suite.record(target.to_owned());
        if !target.contains(&proxy.address().to_string()) || target.contains(char::is_whitespace) {
            suite.fail(&format!("`{name}` has the target `{target}`, not host and port"));
        }
    }
    match suite.build("renamed", &suite.config(&proxy), &Arc::default()).await {
        Ok(renamed) => suite.expect_working(&renamed, "in a section of another name").await,
        Err(diagnostics) => {
            suite.fail(&format!("a section of another name is invalid: {diagnostics:?}"))
        }
    }
}

/// Fails if the component has connected: the proxy accepts in order, so a connection opened now must be its first.
async fn expect_no_connection(suite: &Suite, proxy: &FaultProxy) {
    // These bytes are for the proxy, not for the server.
    proxy.swallow();
    let mut own = TcpStream::connect(proxy.address()).await.expect("the proxy accepts");
    own.write_all(&[b'.'; MANY]).await.expect("the proxy reads");
    if !proxy.reaches(|counts| counts.from_client >= MANY).await || proxy.counts().accepted > 1 {
        suite.fail("it connected to the backend");
    }
}
