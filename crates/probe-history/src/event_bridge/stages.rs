//! Verifies the state of each stage, and its reference to the next one.

/// An Amazon Resource Name: `arn:aws:events:eu-central-1:123456789012:api-destination/history/0123abcd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arn<'a>(pub(super) &'a str);

impl<'a> Arn<'a> {
    /// The type and the name of the resource: for instance `api-destination` and `history`.
    fn resource(self) -> (&'a str, &'a str) {
        let resource = self.0.splitn(6, ':').nth(5).unwrap_or(self.0);
        let mut parts = resource.splitn(3, ['/', ':']);
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    }

    /// The region and the account; empty if the ARN has none.
    pub(super) fn region_and_account(self) -> (&'a str, &'a str) {
        let mut parts = self.0.split(':').skip(3);
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    }

    fn is(self, kind: &str, name: &str) -> bool {
        self.resource() == (kind, name)
    }

    /// The resource without account and id: `connection/other`.
    fn short(self) -> String {
        match self.resource() {
            (kind, "") => kind.to_owned(),
            (kind, name) => format!("{kind}/{name}"),
        }
    }
}

/// The reference of one stage to the next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// The name matches. The resource's current ARN shows whether it has been recreated since.
    ByName(String),
    /// The ARN matches.
    Verified,
}

/// Verifies that a rule is enabled.
pub(super) fn verify_rule(name: &str, state: &str) -> Result<(), String> {
    match state {
        "ENABLED" | "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS" => Ok(()),
        "DISABLED" => Err(format!("the rule `{name}` is disabled")),
        other => Err(format!("the rule `{name}` is not enabled: its state is `{other}`")),
    }
}

/// Verifies that one of a rule's targets is the API destination `destination`.
pub(super) fn verify_targets(
    rule: &str,
    targets: &[Arn<'_>],
    destination: &str,
) -> Result<Reference, String> {
    if let Some(arn) = targets.iter().find(|arn| arn.is("api-destination", destination)) {
        return Ok(Reference::ByName(arn.0.to_owned()));
    }
    let others: Vec<_> = targets.iter().map(|arn| format!("`{}`", arn.short())).collect();
    Err(match others.as_slice() {
        [] => format!("the rule `{rule}` has no target"),
        others => format!(
            "the rule `{rule}` does not target `api-destination/{destination}` but {}",
            others.join(", ")
        ),
    })
}

/// Verifies that an API destination is active and uses the connection `connection`.
pub(super) fn verify_destination(
    state: &str,
    used: &Arn<'_>,
    connection: &str,
) -> Result<Reference, String> {
    if !used.is("connection", connection) {
        return Err(format!("bound to `{}`, not to `connection/{connection}`", used.short()));
    }
    match state {
        "ACTIVE" => Ok(Reference::ByName(used.0.to_owned())),
        "INACTIVE" => Err("inactive: its connection is not authorized".to_owned()),
        other => Err(format!("not active: its state is `{other}`")),
    }
}

/// Verifies that `arn` is the `current` ARN of the resource. A missing resource is reported by its own check.
pub(super) fn verify_reference(
    kind: &str,
    arn: &str,
    current: Option<&str>,
) -> Result<Reference, String> {
    match current {
        Some(current) if current != arn => {
            let name = Arn(arn).resource().1;
            Err(format!("refers to an earlier {kind} `{name}`, which was deleted and recreated"))
        }
        _ => Ok(Reference::Verified),
    }
}

/// Verifies that a connection is authorized.
pub(super) fn verify_connection(state: &str, reason: &str) -> Result<(), String> {
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    match state {
        "AUTHORIZED" => Ok(()),
        "AUTHORIZING" => Err(format!("not authorized yet (AUTHORIZING){reason}")),
        "DEAUTHORIZED" => Err(format!("no longer authorized (DEAUTHORIZED){reason}")),
        other => Err(format!("not authorized ({other}){reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Arn<'_> = Arn("arn:aws:events:eu-central-1:1:api-destination/history/0-1");
    const OTHER: Arn<'_> = Arn("arn:aws:events:eu-central-1:1:api-destination/other/0-2");
    const QUEUE: Arn<'_> = Arn("arn:aws:sqs:eu-central-1:1:orders");
    const CONNECTION: Arn<'_> = Arn("arn:aws-cn:events:cn-north-1:1:connection/history/0-3");

    fn reason<T>(result: Result<T, String>) -> String {
        result.err().unwrap_or_default()
    }

    #[test]
    fn a_rule_must_be_enabled() {
        assert_eq!(reason(verify_rule("r", "ENABLED")), "");
        assert_eq!(reason(verify_rule("r", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS")), "");
        assert_eq!(reason(verify_rule("r", "DISABLED")), "the rule `r` is disabled");
        assert_eq!(reason(verify_rule("r", "")), "the rule `r` is not enabled: its state is ``");
    }

    #[test]
    fn a_rule_must_target_the_destination_and_may_have_other_targets() {
        assert_eq!(
            verify_targets("r", &[QUEUE, OURS], "history"),
            Ok(Reference::ByName(OURS.0.to_owned()))
        );
        assert_eq!(reason(verify_targets("r", &[], "history")), "the rule `r` has no target");
        assert_eq!(
            reason(verify_targets("r", &[OTHER, QUEUE], "history")),
            "the rule `r` does not target `api-destination/history` but `api-destination/other`, `orders`"
        );
    }

    #[test]
    fn a_destination_must_be_active_and_bound_to_the_connection() {
        assert_eq!(reason(verify_destination("ACTIVE", &CONNECTION, "history")), "");
        assert_eq!(
            reason(verify_destination("ACTIVE", &CONNECTION, "mine")),
            "bound to `connection/history`, not to `connection/mine`"
        );
        assert_eq!(
            reason(verify_destination("INACTIVE", &CONNECTION, "history")),
            "inactive: its connection is not authorized"
        );
    }

    #[test]
    fn a_reference_to_a_recreated_resource_is_an_error() {
        assert_eq!(reason(verify_reference("connection", CONNECTION.0, Some(CONNECTION.0))), "");
        assert_eq!(reason(verify_reference("connection", CONNECTION.0, None)), "");
        assert_eq!(
            reason(verify_reference(
                "connection",
                CONNECTION.0,
                Some("arn:aws-cn:events:cn-north-1:1:connection/history/0-4")
            )),
            "refers to an earlier connection `history`, which was deleted and recreated"
        );
    }

    #[test]
    fn a_connection_must_be_authorized() {
        assert_eq!(reason(verify_connection("AUTHORIZED", "")), "");
        assert_eq!(
            reason(verify_connection("AUTHORIZING", "")),
            "not authorized yet (AUTHORIZING)"
        );
        assert_eq!(
            reason(verify_connection("DEAUTHORIZED", "the token endpoint answered 401")),
            "no longer authorized (DEAUTHORIZED): the token endpoint answered 401"
        );
        assert_eq!(reason(verify_connection("UPDATING", "")), "not authorized (UPDATING)");
    }
}
