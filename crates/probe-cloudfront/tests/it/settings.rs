//! What is wrong in the configuration is told at once, and quotes nothing.

use probe_cloudfront::KIND;
use probe_testkit::diagnostics;

fn check(lines: &str, expected: &[&str]) {
    assert_eq!(diagnostics(&KIND, "cloud_front", &format!("[site]\n{lines}")), expected);
}

#[test]
fn at_least_one_half_is_needed_and_the_second_needs_a_domain() {
    check(
        "",
        &[
            "1: cloud_front.site.distribution: expected `distribution`, or `object` and `domain`, or all three",
        ],
    );
    check(
        "object = '/a'\n",
        &["2: cloud_front.site.object: expected `domain` beside it, or `distribution`"],
    );
    check(
        "distribution = 'E1'\ndomain = 'a.example'\nstatus = 200\n",
        &[
            "3: cloud_front.site.domain: expected only with `object`",
            "4: cloud_front.site.status: expected only with `object`",
        ],
    );
}

#[test]
fn every_wrong_value_is_told() {
    check(
        "distribution = 'E/1'\nobject = 'a b'\ndomain = 'a..b'\naddress = 'http://h/p'\nstatus = 99\n",
        &[
            "2: cloud_front.site.distribution: expected a distribution's id such as `E2QWRUHAPOMQZL`",
            "3: cloud_front.site.object: expected a path such as `/health.txt`, percent-encoded",
            "4: cloud_front.site.domain: expected a domain such as `cdn.example.com`",
            "5: cloud_front.site.address: expected a URL of nothing but scheme, host and port",
            "6: cloud_front.site.status: expected a status such as `200`",
        ],
    );
}
