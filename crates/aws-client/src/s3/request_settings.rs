//! Settings of the requests to a bucket, with the names that the SDKs use.

use aws_sdk_s3::types::{RequestPayer, ServerSideEncryption};
use probe::config::Fields;

use super::bucket::Access;

/// The encryption of what is written, and what the owner of the bucket requires of requests.
#[derive(Default)]
pub(super) struct RequestSettings {
    pub(super) server_side_encryption: Option<ServerSideEncryption>,
    pub(super) ssekms_key_id: Option<String>,
    pub(super) request_payer: Option<RequestPayer>,
    pub(super) expected_bucket_owner: Option<String>,
}

impl RequestSettings {
    /// Reads `server_side_encryption`, `ssekms_key_id`, `request_payer` and `expected_bucket_owner`. Errors are reported in `fields`.
    pub(super) fn read(fields: &mut Fields<'_>, access: Option<&[Access]>) -> Self {
        let server_side_encryption = encryption(fields);
        let ssekms_key_id: Option<String> = fields.optional("ssekms_key_id");
        if ssekms_key_id.as_deref().is_some_and(|id| id.is_empty() || !is_visible_ascii(id)) {
            fields.error("ssekms_key_id", "expected the id, the alias or the ARN of a key");
        }
        if fields.has("ssekms_key_id") && !is_kms(server_side_encryption.as_ref()) {
            let message =
                "expected `server_side_encryption` of `aws:kms` or `aws:kms:dsse` beside it";
            fields.error("ssekms_key_id", message);
        }
        if access.is_some_and(|access| !access.contains(&Access::Write))
            && fields.has("server_side_encryption")
        {
            fields.error("server_side_encryption", "expected only with `write` in `access`");
        }
        let request_payer: Option<String> = fields.optional("request_payer");
        if request_payer.as_deref().is_some_and(|payer| payer != "requester") {
            fields.error("request_payer", "expected `requester`");
        }
        let expected_bucket_owner: Option<String> = fields.optional("expected_bucket_owner");
        if expected_bucket_owner.as_deref().is_some_and(|owner| !is_account(owner)) {
            fields.error(
                "expected_bucket_owner",
                "expected the 12 digits of an account's id, as a string",
            );
        }
        let request_payer = request_payer.map(|_| RequestPayer::Requester);
        Self { server_side_encryption, ssekms_key_id, request_payer, expected_bucket_owner }
    }
}

fn encryption(fields: &mut Fields<'_>) -> Option<ServerSideEncryption> {
    let text: String = fields.optional("server_side_encryption")?;
    let known = [
        ServerSideEncryption::Aes256,
        ServerSideEncryption::AwsKms,
        ServerSideEncryption::AwsKmsDsse,
    ];
    let found = known.into_iter().find(|known| known.as_str() == text);
    if found.is_none() {
        fields.error("server_side_encryption", "expected `AES256`, `aws:kms` or `aws:kms:dsse`");
    }
    found
}

fn is_kms(encryption: Option<&ServerSideEncryption>) -> bool {
    let kms = [ServerSideEncryption::AwsKms, ServerSideEncryption::AwsKmsDsse];
    encryption.is_some_and(|encryption| kms.contains(encryption))
}

fn is_account(owner: &str) -> bool {
    owner.len() == 12 && owner.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_visible_ascii(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}
