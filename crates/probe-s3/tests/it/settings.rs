//! The diagnostics of the settings, which quote no values.

use probe_s3::KIND;
use probe_testkit::diagnostics;

use crate::check;

fn assert_diagnostics(lines: &str, expected: &[&str]) {
    assert_eq!(diagnostics(&KIND, "s3", &format!("[files]\n{lines}")), expected);
}

#[test]
fn bucket_region_and_access_are_required() {
    assert_diagnostics(
        "",
        &[
            "1: s3.files: missing `bucket`",
            "1: s3.files: missing `access`",
            "1: s3.files: missing `region`",
        ],
    );
    assert_diagnostics(
        "bucket = 'App_Files'\nregion = 'Frankfurt'\naccess = ['list', 'raed']\nprefix = ''\n",
        &[
            "2: s3.files.bucket: expected a name of 3 to 63 lower-case letters, digits, dots and dashes, or the alias of an access point, but no ARN, path or URL",
            "3: s3.files.region: expected a region such as `eu-central-1`",
            "4: s3.files.access: expected one or more of `list`, `read`, `write` and `delete`",
            "5: s3.files.prefix: expected 1 to 900 bytes without control characters",
        ],
    );
}

#[test]
fn read_access_alone_needs_an_object() {
    assert_diagnostics(
        "bucket = 'files'\nregion = 'eu-central-1'\naccess = ['read']\n",
        &[
            "4: s3.files.access: expected `object` beside `read` alone: without `list` or `write`, S3 does not distinguish a missing object from a missing permission",
        ],
    );
    assert_diagnostics(
        "bucket = 'files'\nregion = 'eu-central-1'\naccess = ['list']\nobject = 'a.txt'\n",
        &["5: s3.files.object: expected only with `read` in `access`"],
    );
}

#[test]
fn keys_come_in_pairs_and_without_a_profile() {
    let files = "bucket = 'files'\nregion = 'eu-central-1'\naccess = ['list']\n";
    assert_diagnostics(
        &format!("{files}access_key_id = 'a'\nsession_token = ' '\nprofile = 'p'\n"),
        &[
            "5: s3.files.access_key_id: expected `secret_access_key` beside it",
            "6: s3.files.session_token: expected visible ASCII characters without spaces",
            "7: s3.files.profile: expected either a profile or an access key",
        ],
    );
    assert_diagnostics(
        &format!("{files}endpoint_url = 'http://me:pw@h'\nca = 'x'\n"),
        &[
            "5: s3.files.endpoint_url: expected a URL without user, query and fragment",
            "6: s3.files.ca: expected PEM with at least one certificate; a file is read with `${file:/path}`",
        ],
    );
}

#[test]
fn an_endpoint_has_no_bucket() {
    let bucket = "bucket = 'app-files'\nregion = 'auto'\naccess = ['list']\n";
    for (endpoint, hint) in [
        ("https://app-files.s3.amazonaws.com", ""),
        ("https://minio:9000/app-files/", ", and `path_style = true` to have it in the path"),
    ] {
        let expected = format!(
            "5: s3.files.endpoint_url: expected a URL without the bucket, which is added to it{hint}"
        );
        assert_diagnostics(&format!("{bucket}endpoint_url = '{endpoint}'\n"), &[&expected]);
    }
    check(&format!("{bucket}endpoint_url = 'https://proxy/s3/'\n"));
}

#[test]
fn the_target_is_the_host_of_the_bucket() {
    let target = |lines: &str| {
        check(&format!("region = 'eu-central-1'\naccess = ['list']\n{lines}")).target().to_owned()
    };
    let bucket = "bucket = 'files'\n";
    assert_eq!(target(bucket), "files.s3.eu-central-1.amazonaws.com:443");
    assert_eq!(target("bucket = 'my.files'\n"), "s3.eu-central-1.amazonaws.com:443");
    assert_eq!(
        target(&format!("{bucket}endpoint_url = 'http://minio:9000'\n")),
        "files.minio:9000"
    );
    let minio = "endpoint_url = 'http://minio:9000'\npath_style = true\n";
    assert_eq!(target(&format!("{bucket}{minio}")), "minio:9000");
    assert_eq!(target(&format!("{bucket}endpoint_url = 'https://10.0.0.7'\n")), "10.0.0.7:443");
}

#[test]
fn settings_of_requests_have_the_values_of_the_sdks() {
    let files = "bucket = 'files'\nregion = 'eu-central-1'\n";
    assert_diagnostics(
        &format!(
            "{files}access = ['write']\nserver_side_encryption = 'kms'\nrequest_payer = 'me'\nexpected_bucket_owner = '1'\n"
        ),
        &[
            "5: s3.files.server_side_encryption: expected `AES256`, `aws:kms` or `aws:kms:dsse`",
            "6: s3.files.request_payer: expected `requester`",
            "7: s3.files.expected_bucket_owner: expected the 12 digits of an account's id, as a string",
        ],
    );
    assert_diagnostics(
        &format!(
            "{files}access = ['write']\nserver_side_encryption = 'AES256'\nssekms_key_id = 'a'\n"
        ),
        &[
            "6: s3.files.ssekms_key_id: expected `server_side_encryption` of `aws:kms` or `aws:kms:dsse` beside it",
        ],
    );
    assert_diagnostics(
        &format!("{files}access = ['list']\nserver_side_encryption = 'AES256'\n"),
        &["5: s3.files.server_side_encryption: expected only with `write` in `access`"],
    );
}

#[test]
fn settings_of_checksums_have_the_values_of_the_sdks() {
    assert_diagnostics(
        "bucket = 'files'\nregion = 'eu-central-1'\naccess = ['list']\nrequest_checksum_calculation = 'never'\nresponse_checksum_validation = 'WHEN_REQUIRED'\n",
        &[
            "5: s3.files.request_checksum_calculation: expected `when_supported` or `when_required`",
            "6: s3.files.response_checksum_validation: expected `when_supported` or `when_required`",
        ],
    );
}

#[test]
fn a_key_is_granted_if_it_is_named() {
    let grants = |key: &str| {
        let lines = "bucket = 'files'\nregion = 'eu-central-1'\naccess = ['read', 'write']\n";
        let key = format!("server_side_encryption = 'aws:kms'\nssekms_key_id = '{key}'\n");
        let grants = check(&format!("{lines}{key}")).grants().unwrap();
        format!("{grants:?}")
    };
    for key in ["1234abcd", "arn:aws:kms:eu-central-1:111122223333:key/1234abcd"] {
        for action in ["kms:GenerateDataKey", "kms:Decrypt"] {
            let grants = grants(key);
            assert!(grants.contains(action), "{grants}");
            assert!(grants.contains("arn:aws:kms:eu-central-1:*:key/1234abcd"), "{grants}");
        }
    }
    assert!(!grants("alias/app").contains("kms:"));
}
