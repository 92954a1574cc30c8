//! All errors of a section are recorded at once.

use probe_testkit::diagnostics;
use probe_websocket::KIND;

fn check(toml: &str, expected: &[&str]) {
    assert_eq!(diagnostics(&KIND, "websocket", toml), expected);
}

#[test]
fn all_errors_are_recorded_and_no_value_is_quoted() {
    check(
        "url = 'http://hunter2'\n\
         headers = { X-Key = 7, 'no name' = 'hunter2', Upgrade = 'hunter2', X = \"a\\nb\" }\n\
         subprotocol = 'hunter2, chat'\n\
         origin = \"hunter2\\n\"\n\
         send = 'hunter2'\n\
         ca = 'hunter2'\n\
         timeouts = 3\n",
        &[
            "1: websocket.url: expected a URL that begins with `ws://` or `wss://`",
            "2: websocket.headers.X-Key: expected a string, found an integer",
            "2: websocket.headers.no name: expected the name of an HTTP header",
            "2: websocket.headers.Upgrade: expected another header: the handshake writes this one, and `origin` and `subprotocol` are settings",
            "2: websocket.headers.X: expected a value without line breaks",
            "3: websocket.subprotocol: expected the name of one subprotocol, such as `chat.v2`",
            "4: websocket.origin: expected an origin, such as `https://app.example`",
            "5: websocket.send: expected `expect` beside it",
            "6: websocket.ca: expected PEM with at least one certificate; a file is read with `${file:/path}`",
            "7: websocket: unknown key `timeouts`, expected one of `url`, `ca`, `certificate`, `private_key`, `headers`, `subprotocol`, `origin`, `send`, `expect`, `kind`, `timeout`, `max_age`, `overdue_wait`, `interval`, `severity`, `maintenance_until`, `checks`",
        ],
    );
}

#[test]
fn settings_that_contradict_the_url_are_errors() {
    check(
        "url = 'ws://me:hunter2@app/ws#top'\nheaders = { authorization = 'hunter2' }\n",
        &[
            "1: websocket.url: expected a URL without a fragment: no server would see it",
            "2: websocket.headers: expected no `Authorization` beside a user in `url`",
        ],
    );
    let ca = probe_testkit::Authority::new("ours").pem;
    check(
        &format!("url = 'ws://app'\nca = '''{ca}'''\n"),
        &["2: websocket.ca: expected only with a `url` that begins with `wss`"],
    );
}
