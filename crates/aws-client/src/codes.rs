//! The error codes of AWS's services, which mean the same under many names.

/// The gateway looks for changed credentials when this step fails.
pub(crate) const AUTHENTICATE: &str = "authenticate";

/// The credentials themselves are refused, not what they are used for.
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

/// The request's time is too far from the server's.
pub(crate) const SKEWED: &[&str] =
    &["RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"];

/// The credentials are good, but not for this.
pub(crate) const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AllAccessDisabled",
    "NotAuthorized",
    "UnauthorizedOperation",
];

/// Too much was asked.
pub(crate) const THROTTLED: &[&str] = &[
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// The bucket is elsewhere.
pub(crate) const WRONG_REGION: &[&str] = &[
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
    "TemporaryRedirect",
];
