//! Hand-written TCP servers that stand in for a misbehaving backend.

use std::future::Future;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Starts a server on 127.0.0.1 that runs `serve` for each connection, for as long as the runtime lives.
pub async fn serve_tcp<F, Served>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Served + Send + 'static,
    Served: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("127.0.0.1 has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Starts a server that answers each message of a connection with the next of `answers`; it stays silent after the last.
///
/// A message is what one read returns. The connection ends when the client closes it.
pub async fn impostor(answers: Vec<Vec<u8>>) -> SocketAddr {
    serve_tcp(move |stream| answer_in_turn(stream, answers.clone())).await
}

async fn answer_in_turn(mut stream: TcpStream, answers: Vec<Vec<u8>>) {
    let mut message = [0; 4096];
    for answer in &answers {
        let Ok(1..) = stream.read(&mut message).await else { return };
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
    while let Ok(1..) = stream.read(&mut message).await {}
}
