//! The metrics: the tables of names, compared with those of the program.

use std::collections::BTreeMap;

use gateway::metrics::families;

use super::page::{Page, in_code};

/// The type and the labels of each metric.
type Metrics = BTreeMap<String, (String, Vec<String>)>;

#[test]
fn every_metric_is_documented_with_its_type_and_labels() {
    assert_eq!(documented(), exposed());
}

fn documented() -> Metrics {
    let page = Page::read("docs/metrics.md");
    let tables = page.tables(&["metric", "type", "labels", "meaning"]);
    let rows = tables.iter().flat_map(|table| &table.rows);
    let metric = |cells: &Vec<String>| {
        let name = in_code(&cells[0]).next().unwrap_or_default().to_owned();
        (name, (cells[1].clone(), in_code(&cells[2]).map(ToOwned::to_owned).collect()))
    };
    rows.map(metric).collect()
}

fn exposed() -> Metrics {
    let labels = |labels: &[&str]| labels.iter().map(ToString::to_string).collect();
    families()
        .map(|family| (family.name(), (family.kind().to_owned(), labels(family.labels))))
        .collect()
}
