//! The diagnostics of the settings, which quote no values.

use probe_cloudfront::KIND;
use probe_testkit::diagnostics;

fn assert_diagnostics(lines: &str, expected: &[&str]) {
    assert_eq!(diagnostics(&KIND, "cloud_front", &format!("[site]\n{lines}")), expected);
}

#[test]
fn a_distribution_or_an_object_with_a_domain_is_required() {
    assert_diagnostics(
        "",
        &[
            "1: cloud_front.site.distribution: expected `distribution`, or `object` and `domain`, or all three",
        ],
    );
    assert_diagnostics(
        "object = '/a'\n",
        &["2: cloud_front.site.object: expected `domain` beside it, or `distribution`"],
    );
    assert_diagnostics(
        "distribution = 'E1'\ndomain = 'a.example'\nstatus = 200\n",
        &[
            "3: cloud_front.site.domain: expected only with `object`",
            "4: cloud_front.site.status: expected only with `object`",
        ],
    );
}

#[test]
fn every_wrong_value_is_reported() {
    assert_diagnostics(
        "distribution = 'E/1'\nobject = 'a b'\ndomain = 'a..b'\naddress = 'http://h/p'\nstatus = 99\n",
        &[
            "2: cloud_front.site.distribution: expected a distribution's id such as `E2QWRUHAPOMQZL`",
            "3: cloud_front.site.object: expected a path such as `/health.txt`, percent-encoded",
            "4: cloud_front.site.domain: expected a domain such as `cdn.example.com`",
            "5: cloud_front.site.address: expected a URL with only scheme, host and port",
            "6: cloud_front.site.status: expected a status such as `200`",
        ],
    );
}
