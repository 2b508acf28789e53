//! Every code of a rejection or deferral, from the table of `message::code`.

use message::Fate;
use message::code::CODES;

use super::{head, wrapped};

pub(crate) fn page() -> String {
    let mut page = head("Error codes", "the table in `host/message/src/code.rs`");
    page += &wrapped(
        "A code says in one stable word why a message was rejected or deferred. It begins the field `error` of an element in \
         a reject or deferred queue and the reason in the log, in `sesame trace` and in `sesame explain`. The text after a \
         code may change from release to release, the code does not. The order is that in which a message is checked.",
        "\n",
        "",
    );
    for entry in CODES {
        let (code, fate, side) = (entry.code, entry.disposition.word(), entry.side.word());
        page += &wrapped(&format!("**`{code}`** ({fate}; {side}): {} {}", entry.meaning, entry.action), "\n- ", "  ");
    }
    page += "\n## What becomes of a message\n";
    let text = "Log, `sesame trace`, `explain`, `publish` and `queue show` use one word for it:";
    page += &wrapped(text, "\n", "");
    page.push('\n');
    for fate in Fate::ALL {
        page += &wrapped(&format!("`{}`: {}", fate.word(), fate.meaning()), "- ", "  ");
    }
    page
}
