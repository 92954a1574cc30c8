//! Which checksums requests and responses have, with the settings that the SDKs use.

use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation};
use probe::config::Fields;

/// Whether checksums are used where they are supported, or only where they are required.
#[derive(Clone, Copy)]
pub(super) struct Checksums {
    request: RequestChecksumCalculation,
    response: ResponseChecksumValidation,
}

impl Checksums {
    /// Reads `request_checksum_calculation` and `response_checksum_validation`. Errors are reported in `fields`.
    ///
    /// The default of AWS is that of the SDKs. Other servers may reject a request with a header that they do not know.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        use RequestChecksumCalculation as Request;
        use ResponseChecksumValidation as Response;
        let mut words = [
            ("when_supported", (Request::WhenSupported, Response::WhenSupported)),
            ("when_required", (Request::WhenRequired, Response::WhenRequired)),
        ];
        if fields.has("endpoint_url") {
            words.reverse();
        }
        let request = fields.one_of("request_checksum_calculation", &words);
        let response = fields.one_of("response_checksum_validation", &words);
        let ((request, _), (_, response)) = (request?, response?);
        Some(Self { request, response })
    }

    pub(super) fn apply(self, builder: Builder) -> Builder {
        builder
            .request_checksum_calculation(self.request)
            .response_checksum_validation(self.response)
    }
}
