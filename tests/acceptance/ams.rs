//! Sesame over AMS: what one publishes, another one pulls, stores and acknowledges.

use crate::checker::Workload;
use crate::harness::eventually;
use crate::peers::ams::{Ams, PROJECT, SUBSCRIPTION};
use crate::queues;
use crate::sesame::{Pair, encrypted_for, recipient};

#[test]
fn what_one_publishes_another_stores() {
    for more in [String::new(), encrypted_for(&recipient())] {
        let ams = Ams::start();
        let pair = Pair::at(&ams, &more, "");
        let messages = Workload::queued_in(&pair.outgoing(), 200, 3_000);
        let _receiver = pair.receiver.start(&["receive"]);
        pair.sender.run(&["send", "--deadline", "30s"]).expect(0);
        messages.arrives(&pair);
        assert_eq!(queues::elements(&pair.incoming())[0].text("signer"), pair.sender.host.subject);
        eventually("the last acknowledgement", || {
            ams.server.offset(PROJECT, SUBSCRIPTION).filter(|&offset| offset == 200)
        });
        let counters = ams.server.counters();
        assert_eq!((counters.certificates_at_api, counters.tokens_in_address, counters.stored), (0, 0, 200));
    }
}
