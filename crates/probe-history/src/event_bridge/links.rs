//! What the state of each link means, and whether it leads to the next.

/// The name of something on AWS in full: `arn:aws:events:eu-central-1:123456789012:api-destination/history/0123abcd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arn<'a>(pub(super) &'a str);

impl<'a> Arn<'a> {
    /// What it names: for instance `api-destination` and `history`.
    fn parts(self) -> (&'a str, &'a str) {
        let resource = self.0.splitn(6, ':').nth(5).unwrap_or(self.0);
        let mut parts = resource.splitn(3, ['/', ':']);
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    }

    fn is(self, kind: &str, name: &str) -> bool {
        self.parts() == (kind, name)
    }

    /// Short enough to be read: `connection/other`.
    fn short(self) -> String {
        match self.parts() {
            (kind, "") => kind.to_owned(),
            (kind, name) => format!("{kind}/{name}"),
        }
    }
}

/// How one link leads to the next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// To something of the right name: whether it is still the one that has this name now, its own ARN tells.
    ByName(String),
    /// To the very thing.
    Surely,
}

/// Whether a rule lets events through.
pub(super) fn rule(name: &str, state: &str) -> Result<(), String> {
    match state {
        "ENABLED" | "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS" => Ok(()),
        "DISABLED" => Err(format!("the rule `{name}` is disabled")),
        other => Err(format!("the rule `{name}` is not enabled: its state is `{other}`")),
    }
}

/// Whether one of a rule's targets is the API destination `destination`.
pub(super) fn targets(rule: &str, targets: &[Arn<'_>], destination: &str) -> Result<Bound, String> {
    if let Some(arn) = targets.iter().find(|arn| arn.is("api-destination", destination)) {
        return Ok(Bound::ByName(arn.0.to_owned()));
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

/// Whether an API destination is in use, with the connection `connection`.
pub(super) fn destination(state: &str, bound: &Arn<'_>, connection: &str) -> Result<Bound, String> {
    if !bound.is("connection", connection) {
        return Err(format!("bound to `{}`, not to `connection/{connection}`", bound.short()));
    }
    match state {
        "ACTIVE" => Ok(Bound::ByName(bound.0.to_owned())),
        "INACTIVE" => Err("inactive: its connection is not authorized".to_owned()),
        other => Err(format!("not active: its state is `{other}`")),
    }
}

/// Whether the `arn` that a link leads to is the one that is `known` under its name; what is not there at all is for another check to say.
pub(super) fn same(kind: &str, arn: &str, known: Option<&str>) -> Result<Bound, String> {
    match known {
        Some(known) if known != arn => {
            let name = Arn(arn).parts().1;
            Err(format!("leads to an earlier {kind} `{name}`, which was deleted and made anew"))
        }
        _ => Ok(Bound::Surely),
    }
}

/// Whether a connection is authorized.
pub(super) fn connection(state: &str, reason: &str) -> Result<(), String> {
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    match state {
        "AUTHORIZED" => Ok(()),
        "AUTHORIZING" => Err(format!("not authorized yet (AUTHORIZING){reason}")),
        "DEAUTHORIZED" => Err(format!("not authorized any more (DEAUTHORIZED){reason}")),
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

    fn said<T>(verdict: Result<T, String>) -> String {
        verdict.err().unwrap_or_default()
    }

    #[test]
    fn a_rule_must_be_enabled() {
        assert_eq!(said(rule("r", "ENABLED")), "");
        assert_eq!(said(rule("r", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS")), "");
        assert_eq!(said(rule("r", "DISABLED")), "the rule `r` is disabled");
        assert_eq!(said(rule("r", "")), "the rule `r` is not enabled: its state is ``");
    }

    #[test]
    fn a_rule_must_target_the_destination_among_whatever_else() {
        assert_eq!(targets("r", &[QUEUE, OURS], "history"), Ok(Bound::ByName(OURS.0.to_owned())));
        assert_eq!(said(targets("r", &[], "history")), "the rule `r` has no target");
        assert_eq!(
            said(targets("r", &[OTHER, QUEUE], "history")),
            "the rule `r` does not target `api-destination/history` but `api-destination/other`, `orders`"
        );
    }

    #[test]
    fn a_destination_must_be_active_and_bound_to_the_connection() {
        assert_eq!(said(destination("ACTIVE", &CONNECTION, "history")), "");
        assert_eq!(
            said(destination("ACTIVE", &CONNECTION, "mine")),
            "bound to `connection/history`, not to `connection/mine`"
        );
        assert_eq!(
            said(destination("INACTIVE", &CONNECTION, "history")),
            "inactive: its connection is not authorized"
        );
    }

    #[test]
    fn a_namesake_that_was_deleted_is_not_the_same() {
        assert_eq!(said(same("connection", CONNECTION.0, Some(CONNECTION.0))), "");
        assert_eq!(said(same("connection", CONNECTION.0, None)), "");
        assert_eq!(
            said(same(
                "connection",
                CONNECTION.0,
                Some("arn:aws-cn:events:cn-north-1:1:connection/history/0-4")
            )),
            "leads to an earlier connection `history`, which was deleted and made anew"
        );
    }

    #[test]
    fn a_connection_must_be_authorized_and_says_why_it_is_not() {
        assert_eq!(said(connection("AUTHORIZED", "")), "");
        assert_eq!(said(connection("AUTHORIZING", "")), "not authorized yet (AUTHORIZING)");
        assert_eq!(
            said(connection("DEAUTHORIZED", "the token endpoint answered 401")),
            "not authorized any more (DEAUTHORIZED): the token endpoint answered 401"
        );
        assert_eq!(said(connection("UPDATING", "")), "not authorized (UPDATING)");
    }
}
