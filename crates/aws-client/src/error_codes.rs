//! Error codes of AWS services, grouped by meaning, since each service has its own.

/// The credentials are rejected, whatever they are used for.
pub(crate) const BAD_CREDENTIALS: &[(&str, &str)] = &[
    ("InvalidAccessKeyId", "the access key is not known"),
    ("InvalidClientTokenId", "the access key is not known"),
    ("UnrecognizedClientException", "the access key is not known"),
    ("SignatureDoesNotMatch", "the secret access key is wrong"),
    ("InvalidSignatureException", "the secret access key is wrong"),
    ("ExpiredToken", "the session token has expired"),
    ("ExpiredTokenException", "the session token has expired"),
    ("TokenRefreshRequired", "the session token has expired"),
    ("InvalidToken", "the session token is wrong"),
    ("MissingAuthenticationToken", "the request came without credentials"),
    ("MissingAuthenticationTokenException", "the request came without credentials"),
    ("AuthFailure", "the credentials are not accepted"),
    ("IncompleteSignature", "the credentials are not accepted"),
    ("InvalidSecurity", "the credentials are not accepted"),
    ("NotSignedUp", "the account is not signed up for this service"),
    ("OptInRequired", "the account is not signed up for this service"),
];

/// The request's time differs too much from the server's.
pub(crate) const CLOCK_SKEW: &[&str] =
    &["RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"];

/// The credentials are valid, but lack a permission.
pub(crate) const ACCESS_DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AllAccessDisabled",
    "NotAuthorized",
    "UnauthorizedOperation",
];

/// The request rate is too high.
pub(crate) const THROTTLED: &[&str] = &[
    "BandwidthLimitExceeded",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottledException",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// The bucket is in another region.
pub(crate) const WRONG_REGION: &[&str] = &[
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
    "TemporaryRedirect",
];
