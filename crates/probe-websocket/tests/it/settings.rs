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
            "5: websocket.send: expected `expect`, `contains` or `matches` beside it",
            "6: websocket.ca: expected PEM with at least one certificate; a file is read with `${file:/path}`",
            "7: websocket: unknown key `timeouts`",
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
    check(
        "url = 'ws://app'\nmin_certificate_validity = '7d'\n",
        &[
            "2: websocket.min_certificate_validity: expected only with a `url` that begins with `wss`",
        ],
    );
}

/// Checks the errors of these settings of the message and its answer.
fn check_message(toml: &str, expected: &[&str]) {
    check(&format!("url = 'ws://app'\n{toml}\n"), expected);
}

#[test]
fn an_answer_needs_a_message_and_does_not_contradict_itself() {
    let beside = |key| format!("2: websocket.{key}: expected `send` beside it");
    for key in ["expect", "contains", "matches"] {
        check_message(&format!("{key} = 'hunter2'"), &[&beside(key)]);
    }
    check_message(
        "send = 'a'\nexpect = 'a'\ncontains = 'a'\nmatches = 'a'",
        &[
            "4: websocket.contains: expected no `expect` beside it, which is the whole answer",
            "5: websocket.matches: expected no `expect` beside it, which is the whole answer",
        ],
    );
}

#[test]
fn an_answer_that_every_message_matches_is_an_error() {
    check_message(
        "send = 'a'\ncontains = ''\nmatches = 'hunter2|b*'",
        &[
            "3: websocket.contains: expected a text that is not empty",
            "4: websocket.matches: expected a pattern that does not match an empty text",
        ],
    );
}

#[test]
fn a_pattern_is_a_regular_expression_of_bounded_size() {
    for wrong in ["hunter2(", r"(a{1000}){1000}"] {
        let expected =
            "3: websocket.matches: expected a regular expression, which compiles to 64 KiB at most";
        check_message(&format!("send = 'a'\nmatches = '{wrong}'"), &[expected]);
    }
}

#[test]
fn an_answer_has_no_random_value_that_the_server_does_not_know() {
    for key in ["expect", "contains", "matches"] {
        let expected = format!("3: websocket.{key}: expected `${{random}}` in `send` as well");
        check_message(&format!("send = 'a'\n{key} = 'b${{random}}'"), &[&expected]);
    }
}
