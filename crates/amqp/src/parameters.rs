//! The parameters of AMQP URLs that clients of RabbitMQ in several languages know.
//!
//! kombu: <https://docs.celeryq.dev/projects/kombu/en/stable/userguide/connections.html>.
//! RabbitMQ's own clients: <https://www.rabbitmq.com/docs/uri-query-parameters>.
//! pika: <https://pika.readthedocs.io/en/stable/modules/parameters.html>.

use probe::config::Parameter;

/// Parameters of other clients that concern their own deadlines, limits and names.
#[rustfmt::skip]
const IGNORED: &[&str] = &[
    "auth_attempts", "automatic_recovery", "backpressure_detection", "blocked_connection_timeout",
    "channelMax", "channel_max", "client_properties", "confirm_publish", "connect_timeout",
    "connection_attempts", "connection_name", "connection_timeout", "continuation_timeout", "depth",
    "fail_if_no_peer_cert", "failover_strategy", "frameMax", "frame_max", "heartbeat",
    "heartbeat_interval", "insist", "interleave", "keepalive", "lazy", "locale", "max_retries",
    "name", "network_recovery_interval", "noDelay", "persistent", "prefetch_count", "product",
    "read_timeout", "read_write_timeout", "recover_from_connection_close", "retry_delay",
    "rpc_timeout", "socket_timeout", "stack_timeout", "tcp_options", "timeout", "write_timeout",
];

/// Parameters that are refused, with what is right in their place.
const REFUSED: &[(&str, &str)] = &[
    ("alternates", "several URLs, as in `amqp://a;amqp://b`,"),
    ("credential_provider", USER),
    ("login", USER),
    ("password", USER),
    ("server_name_indication", "the name of the certificate as the host"),
    ("ssl_check_hostname", VERIFIED),
    ("user", USER),
    ("userid", USER),
    ("username", USER),
    ("vhost", PATH),
    ("virtual_host", PATH),
];

const USER: &str = "a user and a password before the host";
const PATH: &str = "the virtual host as the path of the URL";

/// Parameters with the paths of files, and the setting of the section that takes their place. If that is set, they are ignored.
const FILES: &[(&str, &str)] = &[
    ("ca_certs", "ca"),
    ("cacert", "ca"),
    ("cacertfile", "ca"),
    ("cafile", "ca"),
    ("ssl_ca_certs", "ca"),
    ("cert", "certificate"),
    ("certfile", "certificate"),
    ("ssl_certfile", "certificate"),
    ("key", "private_key"),
    ("keyfile", "private_key"),
    ("ssl_keyfile", "private_key"),
];

/// Parameters that must have one of these values, in lower case, since another would change what is checked.
const VALUES: &[(&str, &[&str], &str)] = &[
    ("auth_mechanism", &["plain", "amqplain"], "authentication by `PLAIN`"),
    ("login_method", &["plain", "amqplain"], "authentication by `PLAIN`"),
    ("verify", &["verify_peer"], VERIFIED),
    ("verify_ssl", &["1", "true"], VERIFIED),
    ("ssl_cert_reqs", &["required", "cert_required"], VERIFIED),
    ("no_verify_ssl", &["0", "false"], VERIFIED),
];

/// kombu itself fails with `ssl_cert_reqs` on AMQP, whatever its value.
const VERIFIED: &str = "that the certificate is verified, as always with `amqps://`, by the setting `ca` if its issuer is a private one,";

/// Reads the parameters of a URL, and returns those that have no meaning here. `has_setting` says whether the section has a setting.
///
/// An error quotes no value.
pub(crate) fn read(
    parameters: &[Parameter],
    is_encrypted: bool,
    has_setting: impl Fn(&str) -> bool,
) -> Result<Vec<&'static str>, String> {
    let mut ignored = Vec::new();
    for parameter in parameters {
        let (name, value) = (&*parameter.name, parameter.expose().to_lowercase());
        if name == "ssl" || name == "ssl_options" {
            let is_off = matches!(&*value, "" | "0" | "false");
            if is_off == is_encrypted {
                let right = if is_off { "amqp" } else { "amqps" };
                return Err(format!(
                    "expected a URL that begins with `{right}://` with this `{name}`"
                ));
            }
            if name == "ssl_options" && !is_off {
                return Err("expected the settings `ca`, `certificate` and `private_key` instead of `ssl_options`".to_owned());
            }
        } else if let Some((name, values, right)) = find(VALUES, name, |(name, ..)| name) {
            if !values.contains(&&*value) {
                return Err(format!("expected {right} instead of this `{name}`"));
            }
        } else if let Some((name, setting)) = find(FILES, name, |(name, _)| name) {
            if !has_setting(setting) {
                return Err(format!(
                    "expected the setting `{setting} = \"${{file:/path}}\"` beside `{name}`, which is not read here"
                ));
            }
            ignored.push(*name);
        } else if let Some(name) = find(IGNORED, name, |name| name) {
            ignored.push(*name);
        } else if let Some((name, right)) = find(REFUSED, name, |(name, _)| name) {
            return Err(format!("expected {right} instead of `{name}`"));
        } else {
            return Err("expected no parameters but those of other clients that are ignored, such as `heartbeat`".to_owned());
        }
    }
    Ok(ignored)
}

fn find<T>(all: &'static [T], name: &str, name_of: fn(&T) -> &&'static str) -> Option<&'static T> {
    all.iter().find(|one| *name_of(one) == name)
}

#[cfg(test)]
mod tests {
    use probe::config::Url;

    use super::*;

    fn check(query: &str, settings: &[&str], expected: Result<&[&str], &str>) {
        let url = Url::parse(&format!("amqps://h/?{query}")).expect("a URL");
        let read = read(url.parameters(), true, |setting| settings.contains(&setting));
        assert_eq!(read, expected.map(<[_]>::to_vec).map_err(str::to_owned), "{query}");
    }

    #[test]
    fn parameters_of_other_clients_are_ignored_unless_they_change_what_is_checked() {
        check("heartbeat=30&connection_timeout=5", &[], Ok(&["heartbeat", "connection_timeout"]));
        check("ssl=true&verify=verify_peer&login_method=PLAIN", &[], Ok(&[]));
        check("cacertfile=/a&keyfile=/b", &["ca", "private_key"], Ok(&["cacertfile", "keyfile"]));
        for (query, expected) in [
            (
                "cacertfile=/a",
                "expected the setting `ca = \"${file:/path}\"` beside `cacertfile`, which is not read here",
            ),
            (
                "verify=verify_none",
                "expected that the certificate is verified, as always with `amqps://`, by the setting `ca` if its issuer is a private one, instead of this `verify`",
            ),
            (
                "auth_mechanism=EXTERNAL",
                "expected authentication by `PLAIN` instead of this `auth_mechanism`",
            ),
            ("password=x", "expected a user and a password before the host instead of `password`"),
            ("ssl=0", "expected a URL that begins with `amqp://` with this `ssl`"),
            (
                "server_name_indication=x",
                "expected the name of the certificate as the host instead of `server_name_indication`",
            ),
            (
                "hunter2=1",
                "expected no parameters but those of other clients that are ignored, such as `heartbeat`",
            ),
        ] {
            check(query, &[], Err(expected));
        }
        let url = Url::parse("amqp://h/?ssl=1").expect("a URL");
        let error = read(url.parameters(), false, |_| false);
        assert_eq!(
            error,
            Err("expected a URL that begins with `amqps://` with this `ssl`".to_owned())
        );
    }
}
