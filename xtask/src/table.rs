//! Formats the report as a table.

use serde_json::Value;

/// One check of the report.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    /// The name of its component.
    pub(crate) component: &'a str,
    /// Its name within the component; empty if the component is a single check.
    pub(crate) check: &'a str,
    /// `working`, or the error.
    pub(crate) status: &'a str,
    /// The response time in seconds.
    pub(crate) response_time: &'a str,
}

/// Returns the checks of a report, in its order.
pub(crate) fn rows(report: &Value) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for (component, value) in report.as_object().into_iter().flatten() {
        if let Some(row) = row(component, "", value) {
            rows.push(row);
            continue;
        }
        let checks = value.as_object().into_iter().flatten();
        rows.extend(checks.filter_map(|(check, value)| row(component, check, value)));
    }
    rows
}

/// Formats the rows in columns below a headline; the status is last, because it may be long.
pub(crate) fn table(rows: &[Row<'_>]) -> String {
    let headline =
        Row { component: "component", check: "check", status: "status", response_time: "seconds" };
    let rows = || std::iter::once(&headline).chain(rows);
    let width = |cell: fn(&Row<'_>) -> usize| rows().map(cell).max().unwrap_or_default();
    let component = width(|row| row.component.chars().count());
    let check = width(|row| row.check.chars().count());
    let time = width(|row| row.response_time.chars().count());
    let lines: Vec<_> = rows()
        .map(|Row { component: first, check: second, status, response_time }| {
            format!("{first:component$}  {second:check$}  {response_time:>time$}  {status}\n")
        })
        .collect();
    lines.concat()
}

/// Returns the row of a check: an object with a status. A group has none, or a check of that name.
fn row<'a>(component: &'a str, check: &'a str, value: &'a Value) -> Option<Row<'a>> {
    let text = |key| value.get(key).and_then(Value::as_str);
    let (status, response_time) = (text("status")?, text("response_time")?);
    Some(Row { component, check, status, response_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_groups_and_single_checks_have_the_order_of_the_report() {
        let report = r#"{"cache": {"pages": {"status": "working", "response_time": "0.0004"}},
            "api": {"status": "connect: refused", "response_time": "0.1"}}"#;
        let report = serde_json::from_str(report).unwrap();
        let expected = "component  check  seconds  status\n\
                        cache      pages   0.0004  working\n\
                        api                   0.1  connect: refused\n";
        assert_eq!(table(&rows(&report)), expected);
    }
}
