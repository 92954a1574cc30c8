//! The limit for HTTP: a bare hyper server with a fixed response, as a process.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use stack::{Program, Server, free_port};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::error::{Context, Result};

/// The server as a child process, which ends when this value is dropped.
pub(crate) struct BareServer {
    _server: Server,
    address: SocketAddr,
    _folder: TempDir,
}

impl BareServer {
    /// Starts this executable as a server that responds with `body`.
    pub(crate) fn start(body: &[u8]) -> Result<Self> {
        let folder = tempfile::tempdir().context("create a folder")?;
        let file = folder.path().join("body");
        fs::write(&file, body).context("write the body")?;
        let home = folder.path().join("bare");
        fs::create_dir(&home).context("create a folder")?;
        let port = free_port()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let own = std::env::current_exe().context("find our own executable")?;
        let program = Program::new("bare", own, &home)
            .args(["bare", "--listen", &address.to_string(), "--body"])
            .args([file])
            .ready_on(port);
        Ok(Self { _server: Server::start(program)?, address, _folder: folder })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves until the process is killed.
pub(crate) fn serve(address: SocketAddr, body: &Path) -> Result<()> {
    let body = Bytes::from(fs::read(body).context("read the body")?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build();
    runtime.context("start the runtime")?.block_on(async {
        let listener = TcpListener::bind(address).await.context("listen")?;
        loop {
            let (stream, _) = listener.accept().await.context("accept")?;
            stream.set_nodelay(true).context("accept")?;
            tokio::spawn(serve_connection(stream, body.clone()));
        }
    })
}

async fn serve_connection(stream: tokio::net::TcpStream, body: Bytes) {
    let service = service_fn(|_: Request<hyper::body::Incoming>| {
        let mut response = Response::new(Full::new(body.clone()));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        async { Ok::<_, Infallible>(response) }
    });
    // An error means that the client has closed the connection.
    let _closed = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
