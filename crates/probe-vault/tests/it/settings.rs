//! The diagnostics of a section.

use probe_testkit::diagnostics;
use probe_vault::KIND;

#[test]
fn all_diagnostics_are_reported_and_quote_no_value() {
    let toml =
        "url = 'vault:8200'\ntoken = 'hunter2'\nstandby = 'maybe'\nmin_ttl = '5'\nmargin = '5m'\n";
    let reported = diagnostics(&KIND, "vault", toml);
    let expected = [
        "1: vault.url: expected a URL such as `scheme://host:port`",
        "3: vault.standby: expected `refuse` or `accept`",
        "4: vault.min_ttl: expected a duration such as `250ms`, `3s`, `5m` or `1h`",
        "5: vault: unknown key `margin`",
    ];
    assert_eq!(reported, expected);
}
