//! The dashboard of Grafana: its metrics, compared with those of the program, and its panels.

use std::collections::BTreeSet;
use std::fs;

use gateway::metrics::{Family, families};
use regex_lite::Regex;
use serde_json::Value;

const DASHBOARD: &str = "deploy/grafana/health-gateway.json";

fn dashboard() -> Value {
    let text = fs::read_to_string(stack::workspace().join(DASHBOARD)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn elements<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

#[test]
fn the_dashboard_uses_only_metrics_that_exist() {
    let metrics: BTreeSet<_> = families().map(Family::name).collect();
    let names = Regex::new(r"\b(?:health_gateway|process)_\w+").unwrap();
    let text = dashboard().to_string();
    let used: BTreeSet<_> = names
        .find_iter(&text)
        .map(|name| {
            let name = name.as_str();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            base.filter(|base| metrics.contains(*base)).unwrap_or(name).to_owned()
        })
        .collect();
    assert!(used.is_subset(&metrics), "unknown: {:?}", used.difference(&metrics));
    assert!(used.len() > 20, "{used:?}");
}

#[test]
fn every_panel_has_a_title_a_description_a_unit_and_the_variables() {
    let dashboard = dashboard();
    let variables: Vec<_> =
        elements(&dashboard["templating"], "list").map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["datasource", "job", "gateway_namespace", "check"]);
    let rate = Regex::new(r"\b(?:rate|increase)\([^\[]*\[([^\]]*)\]").unwrap();
    let mut panels = 0;
    for panel in elements(&dashboard, "panels").filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap_or_default();
        for text in
            [&panel["title"], &panel["description"], &panel["fieldConfig"]["defaults"]["unit"]]
        {
            assert!(text.as_str().is_some_and(|text| !text.is_empty()), "{panel}");
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for target in elements(panel, "targets") {
            let expression = target["expr"].as_str().unwrap();
            assert!(expression.contains("job=~\"$job\""), "{title}: {expression}");
            let is_of_checks = expression.contains("health_gateway_check_");
            assert!(
                !is_of_checks || expression.contains("check=~\"$check\""),
                "{title}: {expression}"
            );
            for range in rate.captures_iter(expression) {
                assert_eq!(&range[1], "$__rate_interval", "{title}: {expression}");
            }
        }
        panels += 1;
    }
    assert!(panels > 20, "{panels} panels");
}
