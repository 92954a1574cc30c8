//! Credentials of the default chain: each check runs in a process with its own environment.

use std::env;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use probe_testkit::run;
use stack::aws::REGION;
use stack::localstack::APP_BUCKET;
use stack::moto::Moto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{TIMEOUT, check, outcome};

/// Set to the server's address in the process that runs the check.
const SERVER: &str = "SERVER_OF_THE_CHECK";

/// The server's address, in the process that runs the check.
fn server_to_check() -> Option<String> {
    env::var(SERVER).ok()
}

fn lines(server: &str) -> String {
    format!(
        "bucket = '{APP_BUCKET}'\naccess = ['list']\nendpoint_url = 'http://{server}'\nregion = '{REGION}'\npath_style = true\n"
    )
}

/// Runs the test `name` again in a process with only this environment.
async fn run_in_process(name: &str, server: SocketAddr, environment: &[(&str, &str)]) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env_clear().env(SERVER, server.to_string());
    command.env("AWS_EC2_METADATA_DISABLED", "true").envs(environment.iter().copied());
    command.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
}

#[tokio::test]
async fn keys_come_from_the_environment() {
    if let Some(server) = server_to_check() {
        return outcome(&lines(&server)).await.expect_working();
    }
    let (moto, keys) = Moto::start_enforcing_permissions(&["s3:ListBucket"]).unwrap();
    let environment =
        [("AWS_ACCESS_KEY_ID", keys.id.as_str()), ("AWS_SECRET_ACCESS_KEY", &keys.secret)];
    let at = ([127, 0, 0, 1], moto.port()).into();
    run_in_process("chain::keys_come_from_the_environment", at, &environment).await;
}

#[tokio::test]
async fn keys_come_from_a_profile() {
    if let Some(server) = server_to_check() {
        let lines = format!("{}profile = 'health'\n", lines(&server));
        return outcome(&lines).await.expect_working();
    }
    let (moto, keys) = Moto::start_enforcing_permissions(&["s3:ListBucket"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let profile = format!(
        "[health]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        keys.id, keys.secret
    );
    std::fs::write(&file, profile).unwrap();
    let environment = [("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap())];
    let at = ([127, 0, 0, 1], moto.port()).into();
    run_in_process("chain::keys_come_from_a_profile", at, &environment).await;
}

#[tokio::test]
async fn missing_credentials_are_reported_with_the_places_searched() {
    if let Some(server) = server_to_check() {
        let outcome = outcome(&lines(&server)).await;
        let expected = format!(
            "authenticate: no credentials found in the configuration, the environment, a profile, a web identity, a container or the instance metadata ({server})"
        );
        return assert_eq!(outcome.line(), expected);
    }
    let at = ([127, 0, 0, 1], 1).into();
    run_in_process("chain::missing_credentials_are_reported_with_the_places_searched", at, &[])
        .await;
}

#[tokio::test]
async fn a_silent_metadata_service_times_out() {
    if let Some(server) = server_to_check() {
        let outcome = outcome(&lines(&server)).await;
        return assert!(outcome.line().starts_with("authenticate: no credentials found "));
    }
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", silent.local_addr().unwrap());
    run_in_process(
        "chain::a_silent_metadata_service_times_out",
        ([127, 0, 0, 1], 1).into(),
        &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &uri), ("AWS_EC2_METADATA_DISABLED", "false")],
    )
    .await;
}

/// The container issues `KEY1`, then `KEY2` and so on. The bucket's server accepts `KEY1` for three requests.
#[tokio::test]
async fn credentials_of_a_container_are_cached_until_they_are_rejected() {
    if let Some(server) = server_to_check() {
        let check = check(&lines(&server));
        for _ in 0..6 {
            run(&check, TIMEOUT).await.expect_working();
        }
        return;
    }
    let issued = Arc::new(AtomicUsize::new(0));
    let counter = issued.clone();
    let container = serve(move |_| {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        let keys = format!(
            "{{\"AccessKeyId\":\"KEY{number}\",\"SecretAccessKey\":\"secret\",\"Token\":\"token\",\"Expiration\":\"2099-01-01T00:00:00Z\"}}"
        );
        ("200 OK", keys)
    })
    .await;
    let requests = AtomicUsize::new(0);
    let bucket = serve(move |request| {
        let is_accepted =
            requests.fetch_add(1, Ordering::SeqCst) < 3 || !request.contains("=KEY1/");
        if is_accepted {
            let list = format!("<ListBucketResult><Name>{APP_BUCKET}</Name></ListBucketResult>");
            return ("200 OK", list);
        }
        ("403 Forbidden", "<Error><Code>InvalidAccessKeyId</Code></Error>".to_owned())
    })
    .await;
    let uri = format!("http://{container}/");
    run_in_process(
        "chain::credentials_of_a_container_are_cached_until_they_are_rejected",
        bucket,
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri)],
    )
    .await;
    assert_eq!(issued.load(Ordering::SeqCst), 2);
}

/// Starts a server that sends the status and the body that `respond` returns for the head of each request.
async fn serve(
    respond: impl Fn(&str) -> (&'static str, String) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let respond = Arc::new(respond);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let respond = respond.clone();
            tokio::spawn(async move { serve_connection(stream, respond.as_ref()).await });
        }
    });
    address
}

async fn serve_connection(
    mut stream: TcpStream,
    respond: &(impl Fn(&str) -> (&'static str, String) + Sync),
) {
    let mut head = Vec::new();
    while stream.read_buf(&mut head).await.unwrap() > 0 {
        if head.ends_with(b"\r\n\r\n") {
            let (status, body) = respond(&String::from_utf8_lossy(&head));
            let length = body.len();
            let response = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(response.as_bytes()).await.unwrap();
            head.clear();
        }
    }
}
