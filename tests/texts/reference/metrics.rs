//! Every metric of `/metrics`, from the table of the service.

use observe::{Family, Kind};
use sesame::service::FAMILIES;

use super::{head, wrapped};

pub(crate) fn page() -> String {
    let mut page = head("Metrics", "the table in `host/sesame/src/service/observe/families.rs`");
    page += &wrapped(
        "A running Sesame shows these at `/metrics` where `[observe] listen` is set; see the [operator's \
         guide](../operating.md#metrics-and-health). A client that asks for OpenMetrics 1.0 gets that, any other the text \
         format 0.0.4. Counters begin at zero when Sesame starts, and those of plugins also when the plugin is replaced. Alerts \
         and a dashboard for Grafana are in `conf/observe`; see [Alerts and dashboard](../alerts.md).",
        "\n",
        "",
    );
    for family in FAMILIES {
        page += &wrapped(&line(family), "\n- ", "  ");
    }
    page
}

fn line(family: &Family) -> String {
    let kind = match family.kind {
        Kind::Info => "gauge, always 1",
        kind => kind.word(),
    };
    let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("; labels {}", labels.join(", ")) };
    format!("`{}` ({kind}{labels}): {}", family.full_name(), family.help)
}
