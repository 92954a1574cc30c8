//! A kind of probe, which builds checks from a section of the configuration.

use std::collections::BTreeSet;

use crate::config::{Diagnostic, Diagnostics, Fields, Node, Value};
use crate::{Check, CheckName, Checks, DynChecks, SharedResources};

/// Keys of every section that the gateway reads itself. None of them can be the name of a check.
pub const GATEWAY_KEYS: &[&str] = &[
    "kind",
    "timeout",
    "max_age",
    "overdue_wait",
    "interval",
    "severity",
    "maintenance_until",
    "share",
    "checks",
];

/// A row of the gateway's table of probes.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The name in `kind = "..."`. A section without that key is of the kind that it is named after.
    pub name: &'static str,
    /// Builds the checks of a section without any I/O. Returns `None` if it has reported diagnostics.
    pub build: fn(&Section<'_>) -> Option<DynChecks>,
}

impl Kind {
    /// Builds the checks of the section `name` of a file without references to secrets, or returns everything that is wrong with it in the order of its lines.
    pub fn checks(
        &self,
        name: &str,
        node: &Node,
        shared: &SharedResources,
    ) -> Result<DynChecks, Vec<Diagnostic>> {
        let diagnostics = Diagnostics::default();
        let built = self.read(name, node, shared, &BTreeSet::new(), &diagnostics);
        built.ok_or_else(|| diagnostics.into_diagnostics())
    }

    /// The same for a section of a file that refers to the secrets at `secret_paths` and collects its `diagnostics`. Returns `None` if there are any for this section.
    pub fn read(
        &self,
        name: &str,
        node: &Node,
        shared: &SharedResources,
        secret_paths: &BTreeSet<String>,
        diagnostics: &Diagnostics,
    ) -> Option<DynChecks> {
        let own = Diagnostics::default();
        let section = Section { name, node, shared, secret_paths, diagnostics: &own };
        let built = (self.build)(&section);
        let built = built.filter(|_| own.is_clean());
        if built.is_none() && own.is_clean() {
            let message = format!("the kind `{}` builds no check from this section", self.name);
            own.push(Diagnostic { line: node.line, key: name.to_owned(), message });
        }
        diagnostics.append(own);
        built
    }
}

/// A section of the configuration, for [`Kind::build`].
#[derive(Debug)]
pub struct Section<'a> {
    name: &'a str,
    node: &'a Node,
    shared: &'a SharedResources,
    secret_paths: &'a BTreeSet<String>,
    diagnostics: &'a Diagnostics,
}

impl<'a> Section<'a> {
    /// The name of the section, and of the component that it becomes.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The resources that checks share.
    pub fn shared(&self) -> &'a SharedResources {
        self.shared
    }

    /// The paths of the secrets in Vault that the file of this section refers to.
    pub fn secret_paths(&self) -> &'a BTreeSet<String> {
        self.secret_paths
    }

    /// Reads the section as one table.
    pub fn fields(&self) -> Fields<'a> {
        let mut fields = Fields::new(self.name.to_owned(), self.node, self.diagnostics);
        fields.allow(GATEWAY_KEYS);
        fields
    }

    /// Reads the section as a group with one check for each key. The key is the name of the check; a string in place of a table is its `url`.
    pub fn group_by_key<C: Check>(
        &self,
        mut make: impl FnMut(&CheckName, &mut Fields<'_>) -> Option<C>,
    ) -> Option<DynChecks> {
        let mut checks = Some(Vec::new());
        let is_ours = |(key, _): &&(String, Node)| !GATEWAY_KEYS.contains(&key.as_str());
        if !self.node.entries().iter().any(|entry| is_ours(&entry)) {
            let message = "expected at least one name with its settings".to_owned();
            self.report(self.node.line, self.name.to_owned(), message);
            return None;
        }
        for (key, node) in self.node.entries().iter().filter(is_ours) {
            let path = format!("{}.{key}", self.name);
            let name = match CheckName::new(key.as_str()) {
                Ok(name) => name,
                Err(message) => {
                    self.report(node.line, path, message);
                    checks = None;
                    continue;
                }
            };
            let mut long_form = match &node.value {
                Value::String(_) | Value::Unknown(_) => Node {
                    line: node.line,
                    value: Value::Table(vec![("url".to_owned(), node.clone())]),
                },
                _ => node.clone(),
            };
            let mut fields = Fields::new(path, &long_form, self.diagnostics);
            let check = make(&name, &mut fields);
            let check = fields.check(|| check);
            long_form.wipe();
            match (check, &mut checks) {
                (Some(check), Some(checks)) => checks.push((name, check)),
                _ => checks = None,
            }
        }
        checks.map(Checks::Group)
    }

    fn report(&self, line: usize, key: String, message: String) {
        self.diagnostics.push(Diagnostic { line, key, message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FromNode, Requirement, ValueError};
    use crate::{Failure, Steps};

    struct Nothing;

    impl Check for Nothing {
        fn target(&self) -> &'static str {
            "nowhere"
        }

        async fn check(&self, _: &Steps) -> Result<(), Failure> {
            Ok(())
        }
    }

    const SINGLE: Kind = Kind {
        name: "single",
        build: |section| {
            let mut fields = section.fields();
            let url: Option<String> = fields.required("url");
            let mode = fields.one_of("mode", &[("fast", 1), ("slow", 2)]);
            fields.single(|| {
                url?;
                mode?;
                Some(Nothing)
            })
        },
    };

    const GROUP: Kind = Kind {
        name: "group",
        build: |section| {
            section.group_by_key(|_, fields| {
                let url: String = fields.required("url")?;
                (url != "wrong").then_some(Nothing).or_else(|| {
                    fields.error("url", "expected another");
                    None
                })
            })
        },
    };

    fn build(kind: &Kind, toml: &str) -> Result<DynChecks, Vec<String>> {
        let node = Node::parse(toml).expect("this is TOML");
        let built = kind.checks("it", &node, &SharedResources::default());
        built.map_err(|diagnostics| diagnostics.iter().map(ToString::to_string).collect())
    }

    fn check_diagnostics(kind: &Kind, toml: &str, expected: &[&str]) {
        assert_eq!(build(kind, toml).expect_err("mistakes"), expected);
    }

    #[test]
    fn every_diagnostic_has_its_line() {
        check_diagnostics(
            &SINGLE,
            "\nmode = 'hunter2'\ncolour = 'blue'\n",
            &[
                "1: it: missing `url`",
                "2: it.mode: expected `fast` or `slow`",
                "3: it: unknown key `colour`, expected one of `url`, `mode`, `kind`, `timeout`, `max_age`, `overdue_wait`, `interval`, `severity`, `maintenance_until`, `share`, `checks`",
            ],
        );
    }

    #[test]
    fn a_key_of_the_gateway_is_neither_unknown_nor_a_check() {
        assert!(build(&SINGLE, "url = 'x'\ntimeout = '1s'\nkind = 'single'\n").is_ok());
        let Ok(Checks::Group(checks)) = build(&GROUP, "a = 'x'\nmax_age = '1s'\n") else {
            panic!("a group")
        };
        assert_eq!(checks.len(), 1);
        check_diagnostics(
            &GROUP,
            "max_age = '1s'\n",
            &["1: it: expected at least one name with its settings"],
        );
    }

    #[test]
    fn diagnostics_of_every_check_in_a_group_are_reported_together() {
        check_diagnostics(
            &GROUP,
            "a = 'wrong'\nb = 'right'\nc = 7\n'' = 'right'\n[d]\nurl = 'wrong'\n",
            &[
                "1: it.a.url: expected another",
                "3: it.c: expected a table, found an integer",
                "3: it.c: missing `url`",
                "4: it.: expected a name of 1 to 100 characters without control characters",
                "6: it.d.url: expected another",
            ],
        );
    }

    const NESTED: Kind = Kind {
        name: "nested",
        build: |section| {
            let mut fields = section.fields();
            let parts = fields.tables("parts", |name, part| {
                let size: Option<u64> = part.optional("size");
                format!("{name} {size:?}")
            });
            if parts.iter().any(|part| part == "b Some(2)") {
                fields.error("parts", "expected no b of 2");
            }
            fields.single(|| Some(Nothing))
        },
    };

    #[test]
    fn a_nested_table_is_validated_like_its_section() {
        check_diagnostics(
            &NESTED,
            "[parts.a]\nsize = 'x'\ncolour = 'red'\n[parts.b]\nsize = 2\n",
            &[
                "1: it.parts: expected no b of 2",
                "2: it.parts.a.size: expected a whole number, found a string",
                "3: it.parts.a: unknown key `colour`, expected one of `size`",
            ],
        );
        check_diagnostics(
            &NESTED,
            "parts = ['a', 3]\n",
            &["1: it.parts: expected a string, found an integer"],
        );
        check_diagnostics(
            &NESTED,
            "parts = 'a'\n",
            &["1: it.parts: expected an array of names or a table of tables, found a string"],
        );
        check_diagnostics(
            &NESTED,
            "parts = ['a', 'b', 'a']\n",
            &["1: it.parts: expected each name once"],
        );
        assert!(build(&NESTED, "parts = ['a', 'b']\n").is_ok());
    }

    #[test]
    fn a_key_that_is_read_is_recorded_whether_it_is_present_or_not() {
        let key_usages = |kind: &Kind, toml: &str| {
            let (node, diagnostics) =
                (Node::parse(toml).expect("this is TOML"), Diagnostics::default());
            let shared = SharedResources::default();
            kind.read("it", &node, &shared, &BTreeSet::new(), &diagnostics);
            let key_usages = diagnostics.into_key_usages().into_iter();
            key_usages.map(|one| (one.table, one.key, one.requirement)).collect::<Vec<_>>()
        };
        let words = Requirement::OneOf(vec!["fast".to_owned(), "slow".to_owned()]);
        for toml in ["", "url = 'x'\nmode = 'wrong'\ncolour = 'red'\n"] {
            let expected = [
                ("it".to_owned(), "url", Requirement::Required),
                ("it".to_owned(), "mode", words.clone()),
            ];
            assert_eq!(key_usages(&SINGLE, toml), expected);
        }
        let (parts, size) = ("it".to_owned(), "it.parts.a".to_owned());
        assert_eq!(
            key_usages(&NESTED, "parts = ['a']\n"),
            [(parts, "parts", Requirement::Tables), (size, "size", Requirement::Optional)]
        );
    }

    const PARTS: Kind = Kind {
        name: "parts",
        build: |section| {
            let mut fields = section.fields();
            let first = fields.table("first", |part| part.required::<String>("url"));
            let second = fields.table("second", |part| part.required::<String>("url"));
            fields.single(|| Some(Fails(format!("{first:?} {second:?}"))))
        },
    };

    /// Fails with a fixed text.
    struct Fails(String);

    impl Check for Fails {
        fn target(&self) -> &'static str {
            ""
        }

        async fn check(&self, _: &Steps) -> Result<(), Failure> {
            Err(Failure::msg("check", self.0.clone()))
        }
    }

    #[test]
    fn an_optional_table_may_be_absent() {
        check_diagnostics(
            &PARTS,
            "[first]\nurl = 7\ncolour = 'red'\n[second]\n",
            &[
                "2: it.first.url: expected a string, found an integer",
                "3: it.first: unknown key `colour`, expected one of `url`",
                "4: it.second: missing `url`",
            ],
        );
        let expected = "1: it.first: expected a table, found a string";
        check_diagnostics(&PARTS, "first = 'x'\n", &[expected, "1: it.first: missing `url`"]);
        assert!(build(&PARTS, "[first]\nurl = 'x'\n").is_ok());
    }

    #[tokio::test]
    async fn an_unknown_value_in_a_table_affects_only_that_table() {
        let mut node =
            Node::parse("first = { url = 'x' }\nsecond = { url = 'y' }\n").expect("TOML");
        let Value::Table(tables) = &mut node.value else { panic!("a table") };
        let Value::Table(first) = &mut tables[0].1.value else { panic!("a table") };
        first[0].1.value = Value::Unknown(Failure::msg("read secret", "sealed"));
        let built = PARTS.checks("it", &node, &SharedResources::default()).expect("a component");
        let Checks::Single(check) = built else { panic!("a check") };
        let line = check.check(&Steps::new()).await.expect_err("what was read").render("");
        assert!(line.contains("Some(Err(") && line.ends_with("Some(Ok(\"y\"))"), "{line}");
    }

    const NAMED: Kind = Kind {
        name: "named",
        build: |section| {
            let mut fields = section.fields();
            let values = fields.named("values", |name, node| match name {
                "odd" => Err(ValueError::Wrong("expected another name".to_owned())),
                _ => String::from_node(node),
            });
            fields.single(|| (values?.len() == 2).then_some(Nothing))
        },
    };

    #[test]
    fn diagnostics_of_a_table_of_names_have_the_name_in_their_key() {
        check_diagnostics(
            &NAMED,
            "[values]\na = 1\nb = 'x'\nodd = 'y'\n",
            &[
                "2: it.values.a: expected a string, found an integer",
                "4: it.values.odd: expected another name",
            ],
        );
        let expected = "1: it.values: expected a table, found an array";
        check_diagnostics(&NAMED, "values = ['a']\n", &[expected]);
        assert!(build(&NAMED, "values = { a = 'x', b = 'y' }\n").is_ok());
    }

    #[tokio::test]
    async fn a_check_whose_configuration_is_unknown_fails_with_the_reason() {
        let mut node = Node::parse("a = 'x'\nb = 'y'\n").expect("this is TOML");
        let Value::Table(entries) = &mut node.value else { panic!("a table") };
        entries[0].1.value = Value::Unknown(Failure::msg("read secret", "vault is sealed"));
        let built = GROUP.checks("it", &node, &SharedResources::default()).expect("a component");
        let Checks::Group(checks) = built else { panic!("a group") };
        let mut lines = Vec::new();
        for (name, check) in &checks {
            let failure = check.check(&Steps::new()).await.err();
            lines.push((name.as_str(), failure.map(|failure| failure.render(check.target()))));
        }
        assert_eq!(lines, [("a", Some("read secret: vault is sealed".to_owned())), ("b", None)]);
    }

    #[test]
    fn a_wrong_value_beside_an_unknown_one_is_still_reported() {
        let mut node = Node::parse("url = 'x'\nmode = 'y'\n").expect("this is TOML");
        let Value::Table(entries) = &mut node.value else { panic!("a table") };
        entries[0].1.value = Value::Unknown(Failure::msg("read secret", "vault is sealed"));
        let diagnostics =
            SINGLE.checks("it", &node, &SharedResources::default()).expect_err("an error");
        assert_eq!(diagnostics[0].to_string(), "2: it.mode: expected `fast` or `slow`");
    }
}
