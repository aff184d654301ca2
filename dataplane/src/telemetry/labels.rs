//! What settings change of the standard metrics: which are counted at all, and with which labels
//! (Istio contract 6.1). Compiled once per snapshot; looked at when a series is named, not when
//! it is counted.

use fairway_shared::condition::{self, Value};
use fairway_shared::snapshot::settings::{LabelChange, MetricChange, StandardMetric};

/// Label names and values, in order.
pub type Labels = Vec<(String, String)>;

/// See the module. The default changes nothing.
#[derive(Debug, Default)]
pub struct Shapes {
    /// In front of every series: the gateway itself.
    source: Labels,
    changes: Vec<Shape>,
    /// What labels take from the request, without repeats.
    wanted: Vec<Value>,
}

#[derive(Debug)]
struct Shape {
    metric: StandardMetric,
    is_disabled: bool,
    labels: Vec<(String, Change)>,
}

#[derive(Debug)]
enum Change {
    Remove,
    Text(String),
    /// Place in [`Shapes::wanted`].
    FromRequest(usize),
}

impl Shapes {
    /// Compiles the settings. A value that is no expression leaves its label as it is: control
    /// lets none through.
    pub fn new(source: Labels, changes: &[MetricChange]) -> Self {
        let mut shapes = Self { source, ..Self::default() };
        for change in changes {
            let labels = change.labels.iter().filter_map(|(name, change)| {
                let change = match change {
                    LabelChange::Remove => Change::Remove,
                    LabelChange::Set(text) => shapes.value(condition::parse_value(text).ok()?),
                };
                Some((name.clone(), change))
            });
            let labels = labels.collect();
            let (metric, is_disabled) = (change.metric, change.is_disabled);
            shapes.changes.push(Shape { metric, is_disabled, labels });
        }
        shapes
    }

    fn value(&mut self, value: Value) -> Change {
        match value {
            Value::Text(text) => Change::Text(text),
            Value::Number(number) => Change::Text(number.to_string()),
            attribute => {
                let known = self.wanted.iter().position(|known| *known == attribute);
                Change::FromRequest(known.unwrap_or_else(|| {
                    self.wanted.push(attribute);
                    self.wanted.len() - 1
                }))
            }
        }
    }

    /// What labels take from the request; their values are the `extra` of a series.
    pub fn wanted(&self) -> &[Value] {
        &self.wanted
    }

    /// The labels of a series of that metric, `None` if it is not counted.
    pub fn labels(
        &self,
        metric: StandardMetric,
        own: impl FnOnce() -> Labels,
        extra: &[String],
    ) -> Option<Labels> {
        let shape = self.changes.iter().find(|shape| shape.metric == metric);
        if shape.is_some_and(|shape| shape.is_disabled) {
            return None;
        }
        let mut labels = self.source.clone();
        labels.extend(own());
        for (name, change) in shape.iter().flat_map(|shape| &shape.labels) {
            let value = match change {
                Change::Remove => {
                    labels.retain(|(known, _)| known != name);
                    continue;
                }
                Change::Text(text) => text.clone(),
                Change::FromRequest(at) => extra.get(*at).cloned().unwrap_or_default(),
            };
            match labels.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = value,
                None => labels.push((name.clone(), value)),
            }
        }
        Some(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn labels_are_removed_replaced_and_added_and_metrics_disabled() {
        let set = |text: &str| LabelChange::Set(text.into());
        let count = MetricChange {
            metric: StandardMetric::RequestCount,
            is_disabled: false,
            labels: vec![
                ("reporter".into(), LabelChange::Remove),
                ("code".into(), set("'fixed'")),
                ("host".into(), set("request.host")),
                ("bad".into(), set("nonsense.here")),
            ],
        };
        let size =
            MetricChange { metric: StandardMetric::RequestSize, is_disabled: true, labels: vec![] };
        let shapes = Shapes::new(vec![pair("reporter", "source")], &[count, size]);
        assert_eq!(shapes.wanted().len(), 1);
        let own = || vec![pair("code", "200")];
        assert_eq!(
            shapes.labels(StandardMetric::RequestCount, own, &["a.example".to_owned()]),
            Some(vec![pair("code", "fixed"), pair("host", "a.example")])
        );
        assert_eq!(shapes.labels(StandardMetric::RequestSize, own, &[]), None);
        assert_eq!(
            shapes.labels(StandardMetric::RequestDuration, own, &[]),
            Some(vec![pair("reporter", "source"), pair("code", "200")])
        );
    }
}
