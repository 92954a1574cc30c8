//! The permissions that AWS must grant, written as an IAM policy.
//!
//! Actions and resources: <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>.

use std::collections::{BTreeMap, BTreeSet};

use probe::{Grant, GrantDialect};

use crate::AwsContext;

pub(crate) static IAM: GrantDialect = GrantDialect { name: "AWS IAM", write };

/// The scope in which the name of a resource is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of AWS.
    Global,
    /// An account.
    Account,
    /// A region of an account.
    Region,
}

impl AwsContext {
    /// The permission for `action`, such as `events:PutEvents`, on the resource `name`. The account is a wildcard, as it is not configured.
    pub fn grant(&self, action: &str, scope: Scope, name: &str) -> Grant {
        self.principal.needs([action, &self.arn(action, scope, name)])
    }

    /// The permission for `action`, which has no resource.
    pub fn grant_on_any(&self, action: &str) -> Grant {
        self.principal.needs([action, "*"])
    }

    /// Like [`Self::grant`], but only for requests with a `prefix` parameter that begins with `prefix`.
    pub fn grant_within(&self, action: &str, scope: Scope, name: &str, prefix: &str) -> Grant {
        if prefix.is_empty() {
            return self.grant(action, scope, name);
        }
        self.principal.needs([
            action,
            &self.arn(action, scope, name),
            &format!("{}*", literal(prefix)),
        ])
    }

    fn arn(&self, action: &str, scope: Scope, name: &str) -> String {
        let service = action.split(':').next().unwrap_or_default();
        let partition = match self.region.as_str() {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        let region_and_account = match scope {
            Scope::Global => ":".to_owned(),
            Scope::Account => ":*".to_owned(),
            Scope::Region => format!("{}:*", self.region),
        };
        format!("arn:{partition}:{service}:{region_and_account}:{name}")
    }
}

/// Escapes the characters that have a meaning in a policy: `*`, `?` and `$`.
pub(crate) fn literal(text: &str) -> String {
    let escape = |c: char| match c {
        '*' | '?' | '$' => format!("${{{c}}}"),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Writes one statement for each resource.
fn write(_: &str, permissions: &BTreeSet<Vec<String>>) -> String {
    let mut resources: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for permission in permissions {
        if let [action, resource, prefix @ ..] = permission.as_slice() {
            resources.entry((resource, prefix.first())).or_default().push(action);
        }
    }
    let statements: Vec<_> = resources
        .into_iter()
        .map(|((resource, prefix), actions)| {
            let actions: Vec<_> = actions.into_iter().map(json).collect();
            let condition = prefix.map_or_else(String::new, |prefix| {
                let prefix = json(prefix);
                format!(",\n      \"Condition\": {{\"StringLike\": {{\"s3:prefix\": {prefix}}}}}")
            });
            format!(
                "    {{\n      \"Effect\": \"Allow\",\n      \"Action\": [{}],\n      \"Resource\": {}{condition}\n    }}",
                actions.join(", "),
                json(resource)
            )
        })
        .collect();
    let statements = statements.join(",\n");
    format!("{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n{statements}\n  ]\n}}\n")
}

/// A JSON string.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_resource_has_a_statement() {
        let permissions = [
            vec!["s3:PutObject", "arn:aws:s3:::b/a\"b*"],
            vec!["s3:GetObject", "arn:aws:s3:::b/a\"b*"],
            vec!["s3:ListBucket", "arn:aws:s3:::b", "a*"],
        ];
        let words = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
        let policy = write("", &permissions.map(words).into());
        let policy: serde_json::Value = serde_json::from_str(&policy).expect("JSON");
        assert_eq!(
            policy["Statement"],
            serde_json::json!([
                {
                    "Effect": "Allow",
                    "Action": ["s3:ListBucket"],
                    "Resource": "arn:aws:s3:::b",
                    "Condition": {"StringLike": {"s3:prefix": "a*"}},
                },
                {
                    "Effect": "Allow",
                    "Action": ["s3:GetObject", "s3:PutObject"],
                    "Resource": "arn:aws:s3:::b/a\"b*",
                },
            ])
        );
    }

    #[test]
    fn a_name_is_escaped() {
        assert_eq!(literal("a*b?c$d/e"), "a${*}b${?}c${$}d/e");
    }
}
