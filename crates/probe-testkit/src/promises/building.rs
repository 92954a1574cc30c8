//! A component is built from its configuration alone, and sees that its backend works.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::suite::Suite;
use crate::{FaultProxy, checks};

/// More bytes than any client begins with.
const MANY: usize = 16 * 1024;

/// Built while the backend is down or up, without a runtime and without a connection, under the same names.
pub(crate) async fn performs_no_io(suite: &Suite) {
    let proxy = suite.proxy();
    let up = suite.component(&proxy).await;
    expect_no_connection(suite, &proxy).await;
    proxy.refuse().await;
    let down = suite.component(&proxy).await;
    let names = |component| checks(component).into_iter().map(|(name, _)| name);
    if !names(&up).eq(names(&down)) {
        suite.broken(&format!("its names are {up:?} when the backend is up, else {down:?}"));
    }
    if checks(&up).is_empty() {
        suite.broken("it is a group without any check");
    }
    suite.drop(vec![up, down]).await;
}

/// Every check works through the proxy, under any name of the section, and tells its target.
pub(crate) async fn sees_it_work(suite: &Suite) {
    let proxy = suite.proxy();
    let component = suite.component(&proxy).await;
    suite.expect_working(&component, "at its first run").await;
    if proxy.counts().accepted == 0 {
        suite.broken("it works without a connection: does the configuration use its address?");
    }
    for (name, check) in suite.checks(&component) {
        let target = check.target();
        suite.say(target.to_owned());
        if !target.contains(&proxy.address().to_string()) || target.contains(char::is_whitespace) {
            suite.broken(&format!("`{name}` has the target `{target}`, not host and port"));
        }
    }
    match suite.build("renamed", &suite.config(&proxy), &Arc::default()).await {
        Ok(renamed) => suite.expect_working(&renamed, "in a section of another name").await,
        Err(diagnostics) => suite.broken(&format!("a section of another name is {diagnostics:?}")),
    }
}

/// A connection of our own is the first that the proxy sees, since it accepts in order.
async fn expect_no_connection(suite: &Suite, proxy: &FaultProxy) {
    // What we send is for the proxy, not for the server.
    proxy.swallow();
    let mut own = TcpStream::connect(proxy.address()).await.expect("the proxy accepts");
    own.write_all(&[b'.'; MANY]).await.expect("the proxy reads");
    if !proxy.reaches(|counts| counts.from_client >= MANY).await || proxy.counts().accepted > 1 {
        suite.broken("the backend was connected to");
    }
}
