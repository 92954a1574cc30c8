//! Distinguishes PostgreSQL from servers that only speak its protocol.

/// What a server is, by the parameters that it reports at the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    /// PostgreSQL 9.6 or newer: its commits can be examined.
    PostgreSql,
    /// An older version, or another product such as `CockroachDB` or Redshift.
    Other,
}

impl Product {
    /// Reads the parameters. Redshift reports version 8.0, Yugabyte `11.2-YB-2.25`, and `CockroachDB` has a parameter of its own.
    pub(crate) fn from_parameters<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Self {
        let version = parameter("server_version").unwrap_or_default();
        let is_postgresql = is_at_least_9_6(version) && !version.contains("-YB-");
        if is_postgresql && parameter("crdb_version").is_none() {
            Self::PostgreSql
        } else {
            Self::Other
        }
    }
}

fn is_at_least_9_6(version: &str) -> bool {
    let mut numbers =
        version.split(|character: char| !character.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(9)), Some(Ok(minor))) => minor >= 6,
        (Some(Ok(major)), _) => major >= 10,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parameters: &[(&str, &str)], expected: Product) {
        let parameter = |name: &str| {
            parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
        };
        assert_eq!(Product::from_parameters(parameter), expected, "{parameters:?}");
    }

    #[test]
    fn servers_that_only_speak_the_protocol_are_distinguished() {
        for version in ["9.6.24", "10.0", "15.14 (Debian 15.14-0+deb12u1)", "18beta1", "17"] {
            check(&[("server_version", version)], Product::PostgreSql);
        }
        for version in ["9.5.25", "8.0.2", "11.2-YB-2.25.0.0-b0", "", "unknown"] {
            check(&[("server_version", version)], Product::Other);
        }
        let cockroach = [("server_version", "13.0.0"), ("crdb_version", "CockroachDB CCL v25.1.0")];
        check(&cockroach, Product::Other);
        check(&[], Product::Other);
    }
}
