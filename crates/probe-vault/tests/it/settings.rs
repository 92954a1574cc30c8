//! What is wrong with a section, told all at once.

use probe_testkit::diagnostics;
use probe_vault::KIND;

#[test]
fn all_mistakes_of_a_section_are_told_and_none_is_quoted() {
    let toml =
        "url = 'vault:8200'\ntoken = 'hunter2'\nstandby = 'maybe'\nmin_ttl = '5'\nmargin = '5m'\n";
    let told = diagnostics(&KIND, "vault", toml);
    let expected = [
        "1: vault.url: expected a URL such as `scheme://host:port`: it has no host",
        "3: vault.standby: expected `refuse` or `accept`",
        "4: vault.min_ttl: expected a duration such as `250ms`, `3s`, `5m` or `1h`",
    ];
    assert_eq!(told[..3], expected);
    let known = "5: vault: unknown key `margin`, expected one of `url`, `ca`, ";
    assert!(told[3].starts_with(known) && told.len() == 4, "{told:?}");
}
